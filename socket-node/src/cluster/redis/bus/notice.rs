//! What the census says on a channel's topic, in the same step in which it happened.

use super::envelope::number;
use crate::protocol::event::Member;

/// Somebody came or went, as far as the whole cluster is concerned.
///
/// On the wire: version u8 = 1, kind u8, version of the census u64, length of the user's id u16, the user's id, and for
/// somebody who came what is known of them, as JSON or nothing.
#[derive(Clone, Debug)]
pub struct Notice {
    /// What happened.
    pub kind: Kind,
    /// Its place in the order of all that happened in the census's shard.
    pub version: u64,
    /// Who it is. What is known of them is said only of those who come.
    pub member: Member,
}

/// What a notice tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A member's first connection joined the channel.
    Joined,
    /// A member's last connection left the channel.
    Left,
    /// A user's first connection signed in.
    Online,
    /// A user's last connection is gone.
    Offline,
}

impl Kind {
    /// The kind that goes by this number.
    pub(super) fn of(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Joined),
            2 => Some(Self::Left),
            3 => Some(Self::Online),
            4 => Some(Self::Offline),
            _ => None,
        }
    }
}

impl Notice {
    /// Reads what follows the kind.
    pub(super) fn read(kind: Kind, bytes: &[u8]) -> Option<Self> {
        let version = number(bytes)?;
        let (length, rest) = bytes[8..].split_first_chunk()?;
        let (user_id, info) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        let user_id = std::str::from_utf8(user_id).ok()?.into();
        let user_info = if info.is_empty() { None } else { Some(serde_json::from_slice(info).ok()?) };
        Some(Self { kind, version, member: Member { user_id, user_info } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `struct.pack(">I8I2", version, #user_id) .. user_id .. info` is in a script.
    fn packed(version: u64, user_id: &[u8], info: &[u8]) -> Vec<u8> {
        let length = u16::try_from(user_id.len()).unwrap();
        [&version.to_be_bytes()[..], &length.to_be_bytes(), user_id, info].concat()
    }

    #[test]
    fn a_notice_tells_who_came_and_what_is_known_of_them() {
        let notice = Notice::read(Kind::Joined, &packed(7, "zoë".as_bytes(), br#"{"a": 1}"#)).unwrap();
        assert_eq!((notice.kind, notice.version, &*notice.member.user_id), (Kind::Joined, 7, "zoë"));
        assert_eq!(notice.member.user_info.unwrap().get(), r#"{"a": 1}"#);
    }

    #[test]
    fn of_those_who_go_nothing_more_is_known() {
        let notice = Notice::read(Kind::Left, &packed(8, b"1", b"")).unwrap();
        assert!(notice.member.user_info.is_none());
    }

    #[test]
    fn a_notice_with_a_part_missing_or_bad_is_not_understood() {
        let whole = packed(7, b"abc", b"");
        for cut in 0..whole.len() {
            assert!(Notice::read(Kind::Joined, &whole[..cut]).is_none(), "{cut}");
        }
        assert!(Notice::read(Kind::Joined, &packed(7, b"\xFF", b"")).is_none());
        assert!(Notice::read(Kind::Joined, &packed(7, b"abc", b"{\"a\":")).is_none());
    }
}
