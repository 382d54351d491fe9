//! The lines that protocols 0 and 1 write values in.

type Parsed<T> = Result<T, &'static str>;

const MALFORMED: &str = "a text is malformed";

/// A decimal integer of up to 64 bits, as Python writes it. Other forms mean different things to
/// different unpicklers: a leading zero may stand for octal digits.
pub(super) fn int(digits: &[u8]) -> Parsed<i64> {
    if !matches!(digits, b"0" | [b'1'..=b'9', ..] | [b'-', b'1'..=b'9', ..]) {
        return Err("a number is malformed");
    }
    str::from_utf8(digits)
        .ok()
        .and_then(|digits| digits.parse().ok())
        .ok_or("a number is malformed or longer than 64 bits")
}

/// A decimal number. One that is too large is refused, as Python does; infinity has a name.
pub(super) fn float(line: &[u8]) -> Parsed<f64> {
    let value = str::from_utf8(line).ok().and_then(|text| text.parse::<f64>().ok());
    value
        .filter(|value| value.is_finite() || !line.iter().any(u8::is_ascii_digit))
        .ok_or("a number is malformed")
}

/// The quoted `repr` of a Python 2 string, which must be ASCII.
pub(super) fn string(line: &[u8]) -> Parsed<String> {
    let (&[quote @ (b'"' | b'\'')], rest) = line.split_at_checked(1).ok_or(MALFORMED)? else {
        return Err(MALFORMED);
    };
    let mut bytes = rest.strip_suffix(&[quote]).ok_or(MALFORMED)?;
    let mut text = String::with_capacity(bytes.len());
    while let Some((&byte, rest)) = bytes.split_first() {
        bytes = rest;
        let decoded = if byte == b'\\' {
            let (&escape, rest) = bytes.split_first().ok_or(MALFORMED)?;
            bytes = rest;
            match escape {
                b'\\' | b'\'' | b'"' => escape,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'x' => u8::try_from(hex(&mut bytes, 2)?).map_err(|_| MALFORMED)?,
                _ => return Err(MALFORMED),
            }
        } else {
            byte
        };
        if !decoded.is_ascii() {
            return Err("a Python 2 string is no ASCII");
        }
        text.push(char::from(decoded));
    }
    Ok(text)
}

/// Python's `raw-unicode-escape`: Latin-1 with `\uXXXX` and `\UXXXXXXXX`.
pub(super) fn raw_unicode(mut bytes: &[u8]) -> Parsed<String> {
    let mut text = String::with_capacity(bytes.len());
    while let Some((&byte, rest)) = bytes.split_first() {
        bytes = rest;
        let digits = match (byte, rest.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            // A backslash before anything else stands for itself, and so does what it precedes.
            (b'\\', Some(&next)) => {
                text.extend([char::from(byte), char::from(next)]);
                bytes = &rest[1..];
                continue;
            }
            _ => {
                text.push(char::from(byte));
                continue;
            }
        };
        bytes = &rest[1..];
        text.push(char::from_u32(hex(&mut bytes, digits)?).ok_or(MALFORMED)?);
    }
    Ok(text)
}

/// Takes hexadecimal digits off the front.
fn hex(bytes: &mut &[u8], count: usize) -> Parsed<u32> {
    let (digits, rest) = bytes.split_at_checked(count).ok_or(MALFORMED)?;
    *bytes = rest;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(MALFORMED);
    }
    str::from_utf8(digits)
        .ok()
        .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        .ok_or(MALFORMED)
}
