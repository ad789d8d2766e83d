//! What must hold when many clients come at once.

mod slow_readers;
