// SPDX-License-Identifier: GPL-2.0

//! Sizes on the command line: bytes, or a number with a unit, such as 65MiB.

/// Units, each 1024 times the one before.
const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];

/// The bytes that `text` is.
pub fn bytes(text: &str) -> Result<u64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(split.unwrap_or(text.len()));
    let factor = match unit {
        "" | "B" => Some(1),
        unit => (1..)
            .zip(UNITS)
            .find(|(_, name)| *name == unit)
            .map(|(power, _)| 1u64 << (10 * power)),
    };
    let number = number.parse::<u64>().ok();
    let bytes = number
        .zip(factor)
        .map(|(number, factor)| number.checked_mul(factor));
    match bytes {
        Some(Some(bytes)) => Ok(bytes),
        Some(None) => Err("that is more than 16 EiB".to_owned()),
        None => {
            Err("bytes are needed, or a number with KiB, MiB, GiB or TiB, such as 65MiB".to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        for (text, wanted) in [
            ("0", 0),
            ("4096", 4096),
            ("512B", 512),
            ("65MiB", 65 << 20),
            ("1KiB", 1024),
            ("3GiB", 3 << 30),
            ("8TiB", 8 << 40),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(bytes(text), Ok(wanted), "{text}");
        }
        for text in [
            "",
            "MiB",
            "1MB",
            "1 MiB",
            "-1",
            "1.5GiB",
            "16777216TiB",
            "18446744073709551616",
        ] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
