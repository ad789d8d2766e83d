//! What takes long: outages of half a minute, a hundred rounds, tens of thousands of clients. `tests/faults-long` runs these
//! tests one after the other, and says how long each takes; everything else is run without them.

mod crowds;
mod deaths;
mod deliveries;
mod resets;
mod silence;
mod storms;
mod succession;
