//! What the texts of an app's settings must look like.

/// Longer ones are mistakes: a file pasted where a word belongs.
const LONGEST_KEY: usize = 200;
const LONGEST_SECRET: usize = 1024;

/// A text with something in it.
pub(super) fn some_text(text: &str) -> Result<String, String> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err("must not be empty or contain control characters".to_owned());
    }
    Ok(text.to_owned())
}

/// Whether an app may have this key: it is part of a URL's path and stands before the `:` of a signature.
pub(crate) fn is_app_key(text: &str) -> bool {
    let sound = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=LONGEST_KEY).contains(&text.len()) && text.bytes().all(sound)
}

pub(super) fn app_key(text: &str) -> Result<String, String> {
    if !is_app_key(text) {
        return Err(format!("must be 1 to {LONGEST_KEY} letters, digits, '_' or '-'"));
    }
    Ok(text.to_owned())
}

/// White space at either end is nearly always the line end of the file that a secret was copied from.
pub(super) fn app_secret(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > LONGEST_SECRET {
        return Err(format!("must be 1 to {LONGEST_SECRET} bytes long"));
    }
    if text.trim() != text || text.chars().any(char::is_control) {
        return Err("must not begin or end with white space or contain control characters".to_owned());
    }
    Ok(text.to_owned())
}
