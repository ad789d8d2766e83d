//! What becomes of webhooks when endpoints are broken, and when the workers die: nothing is lost, order is kept where a
//! queue keeps it, and whatever comes twice has the same id.

mod deaths;
mod endpoints;
mod horizon;
mod ledger;
