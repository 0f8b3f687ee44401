//! Base64 as RFC 4648, section 4 has it: padded, pad bits zero, padding nowhere but at the end.

use data_encoding::BASE64;

pub(crate) fn encode(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// `None` for whatever [`encode`] would not write.
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    // The library takes several padded texts, one after the other, for one: then a value could be written in many ways.
    let (inside, _end) = text.split_at(text.len().saturating_sub(2));
    if inside.contains(&b'=') { None } else { BASE64.decode(text).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_is_written_in_one_way() {
        for good in ["", "AA==", "AAA=", "AAAA", "AAAAAA=="] {
            assert_eq!(encode(&decode(good.as_bytes()).unwrap()), good);
        }
        for bad in
            ["A", "AA", "AAA", "=", "==", "====", "AB==", "AAB=", "AA==AAAA", "AAA=AAA=", "AAA=AA==", "AA=A", "AA-_", "AAAA\n"]
        {
            assert_eq!(decode(bad.as_bytes()), None, "{bad}");
        }
    }
}
