//! What clients send, rightly and wrongly, and how it is cut.

use proptest::prelude::*;

use super::*;

const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// A client's frame: the first byte as given, the length in its shortest form, masked.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..126 => bytes.push(0x80 | length as u8),
        length @ 126..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

/// All that the decoder makes of these bytes, as text, when they come in pieces of `step` bytes.
fn decode_in_steps(input: &[u8], step: usize, max_message: usize) -> Result<Vec<String>, Close> {
    let mut decoder = Decoder::new(max_message);
    let (mut pending, mut found) = (Vec::new(), Vec::new());
    for piece in input.chunks(step) {
        pending.extend_from_slice(piece);
        let mut start = 0;
        loop {
            let (used, message) = decoder.next(&mut pending[start..])?;
            found.extend(message.map(|message| format!("{message:?}")));
            start += used;
            if used == 0 {
                break;
            }
        }
        pending.drain(..start);
    }
    Ok(found)
}

fn decode(input: &[u8]) -> Result<Vec<String>, Close> {
    decode_in_steps(input, input.len().max(1), 1000)
}

#[test]
fn the_example_of_the_rfc_is_read() {
    let hello = [0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58];
    assert_eq!(decode(&hello).unwrap(), [r#"Text("Hello")"#]);
}

#[test]
fn fragments_are_put_together_around_control_frames() {
    let input = [frame(0x01, b"ab"), frame(0x89, b"p"), frame(0x00, b""), frame(0x80, b"c")].concat();
    assert_eq!(decode(&input).unwrap(), ["Ping([112])", r#"Text("abc")"#]);
}

#[test]
fn a_character_may_be_split_between_fragments_but_must_be_whole_in_the_end() {
    let good = [frame(0x01, &[0xC3]), frame(0x80, &[0xA4])].concat();
    assert_eq!(decode(&good).unwrap(), [r#"Text("ä")"#]);
    let bad = [frame(0x01, &[0xC3]), frame(0x80, b"x")].concat();
    assert_eq!(decode(&bad), Err(Close::INVALID_UTF8));
}

#[test]
fn frames_that_break_the_rules_end_the_connection() {
    let unmasked = vec![0x81, 0x01, b'x'];
    let high_bit = [&[0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0][..], &MASK].concat();
    let cases = [
        ("unmasked", unmasked),
        ("rsv1", frame(0xC1, b"x")),
        ("rsv2", frame(0xA1, b"x")),
        ("rsv3", frame(0x91, b"x")),
        ("reserved data opcode", frame(0x83, b"x")),
        ("reserved control opcode", frame(0x8B, b"x")),
        ("fragmented ping", frame(0x09, b"x")),
        ("long ping", frame(0x89, &[0; 126])),
        ("continuation of nothing", frame(0x80, b"x")),
        ("message within a message", [frame(0x01, b"a"), frame(0x81, b"b")].concat()),
        ("length above 2^63", high_bit),
        ("close with half a code", frame(0x88, &[3])),
    ];
    for (name, input) in cases {
        assert_eq!(decode(&input), Err(Close::PROTOCOL_ERROR), "{name}");
    }
}

#[test]
fn only_close_codes_that_may_go_over_the_wire_are_taken() {
    let close = |code: u16| decode(&frame(0x88, &code.to_be_bytes()));
    for code in [1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 4000, 4999] {
        assert_eq!(close(code).unwrap(), [format!("Close(Some({code}))")]);
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535] {
        assert_eq!(close(code), Err(Close::PROTOCOL_ERROR), "{code}");
    }
    assert_eq!(decode(&frame(0x88, &[])).unwrap(), ["Close(None)"]);
    let reason = frame(0x88, &[0x03, 0xE8, 0xFF]);
    assert_eq!(decode(&reason), Err(Close::INVALID_UTF8));
}

#[test]
fn a_message_over_the_limit_is_refused_before_it_has_come() {
    let whole = frame(0x81, &[b'x'; 1001]);
    assert_eq!(decode(&whole[..10]), Err(Close::TOO_BIG));
    let fragments = [frame(0x01, &[b'x'; 600]), frame(0x80, &[b'x'; 401])].concat();
    assert_eq!(decode(&fragments), Err(Close::TOO_BIG));
    assert_eq!(decode(&frame(0x81, &[b'x'; 1000])).unwrap().len(), 1);
}

proptest! {
    #[test]
    fn it_does_not_matter_how_the_bytes_are_cut(
        texts in prop::collection::vec("\\PC{0,300}", 1..6),
        step in 1usize..40,
    ) {
        let input: Vec<u8> = texts.iter().flat_map(|text| frame(0x81, text.as_bytes())).collect();
        let expected: Vec<_> =
            texts.iter().map(|text| format!("{:?}", Incoming::Text(text.as_str().into()))).collect();
        prop_assert_eq!(decode_in_steps(&input, step, 10_000).unwrap(), expected);
    }

    #[test]
    fn no_bytes_make_it_panic(
        input in prop::collection::vec(any::<u8>(), 0..200),
        step in 1usize..50,
    ) {
        let _ = decode_in_steps(&input, step, 1000);
    }
}
