//! Ids, keys and secrets for new apps.

use anyhow::Context as _;

/// Ten digits, of which the first is not 0.
pub(super) fn random_id() -> anyhow::Result<String> {
    const LEAST: u64 = 1_000_000_000;
    let number = getrandom::u64().context(NO_CHANCE)?;
    Ok((LEAST + number % (9 * LEAST)).to_string())
}

/// As long as Pusher's.
pub(super) fn random_key() -> anyhow::Result<String> {
    random_hex::<10>()
}

/// As long as what it keys: HMAC-SHA256.
pub(super) fn random_secret() -> anyhow::Result<String> {
    random_hex::<32>()
}

const NO_CHANCE: &str = "the system has no random numbers";

fn random_hex<const BYTES: usize>() -> anyhow::Result<String> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).context(NO_CHANCE)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
