//! Where apps are kept. One module a store; [`apps::Apps`](crate::apps::Apps) is the only one who asks them.

mod array;

pub use array::{ArrayStore, DuplicateApp};
