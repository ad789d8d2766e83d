//! What clients send, rightly and wrongly, and how it is cut.

mod autobahn;

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
fn frames_that_break_the_rules_of_masks_and_lengths_end_the_connection() {
    let high_bit = [&[0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0][..], &MASK].concat();
    for input in [&[0x81, 0x01, b'x'], &[0x89, 0x00][..], &high_bit] {
        assert_eq!(decode(input), Err(Close::PROTOCOL_ERROR), "{input:X?}");
    }
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
