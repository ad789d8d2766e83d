//! Drives a whole Socket Rush server from outside, through its front door: the real binary on a port of its own,
//! real sockets, real HTTP. Nothing of the server is linked in, so a test can only expect what a client can see.

mod support;

mod cloud;
mod databases;
mod e2e;
mod faults;
mod infra;
mod load;
mod sdk;
