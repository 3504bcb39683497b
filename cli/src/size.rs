// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sizes, as options have them.

/// Reads a number of bytes, with K, M or G behind it for powers of 1024.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let factor: u64 = match unit.to_ascii_lowercase().trim_end_matches("ib").trim_end_matches('b') {
        "" => 1,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        _ => return Err(format!("`{unit}` is no unit of size; there are K, M and G (powers of 1024)")),
    };
    let number: u64 = number.parse().map_err(|_| "a whole number of bytes is expected, as in `64M`".to_owned())?;
    number.checked_mul(factor).ok_or_else(|| "it is too large".to_owned())
}

#[cfg(test)]
mod tests {
    use super::parse_size;

    #[test]
    fn reads_sizes() {
        assert_eq!(parse_size("512"), Ok(512));
        assert_eq!(parse_size("4k"), Ok(4096));
        assert_eq!(parse_size("2MiB"), Ok(2 << 20));
        assert_eq!(parse_size("1GB"), Ok(1 << 30));
        assert!(parse_size("1.5GB").is_err());
        assert!(parse_size("M").is_err());
        assert!(parse_size("99999999999G").is_err());
    }
}
