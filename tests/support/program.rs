//! Programs of others that tests start.

use std::{
    env,
    path::{Path, PathBuf},
};

/// A program: the one that this variable names, else the one that `tests/run` has unpacked into this folder, else the
/// system's.
pub(super) fn find(variable: &str, folder: &str, name: &str) -> PathBuf {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache").join(folder).join("bin").join(name);
    env::var_os(variable)
        .map_or_else(|| if unpacked.exists() { unpacked } else { name.into() }, PathBuf::from)
}
