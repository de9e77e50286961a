//! Kubernetes quantities as numbers: `500m`, `1Gi`, `1e3`.

/// One core for each of these bytes of memory, as on AWS Lambda: 1769 MiB is one vCPU.
const BYTES_PER_CORE: f64 = 1769.0 * 1024.0 * 1024.0;
/// The least CPU limit that still starts an interpreter, in thousandths of a core.
const LEAST_MILLICORES: f64 = 50.0;

/// The quantity in its base unit (cores, bytes); none when the text is no quantity.
#[must_use]
pub fn parse(text: &str) -> Option<f64> {
    let digits =
        text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-' || c == '+')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    let number: f64 = number.parse().ok()?;
    let factor = match suffix {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        "Ti" => 1024_f64.powi(4),
        "Pi" => 1024_f64.powi(5),
        "Ei" => 1024_f64.powi(6),
        exponent => {
            let power: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            10_f64.powi(power)
        }
    };
    Some(number * factor)
}

/// Whether two texts are the same quantity. The API server rewrites them: `1024Mi` comes back as `1Gi`.
#[must_use]
pub fn same(left: &str, right: &str) -> bool {
    match (parse(left), parse(right)) {
        (Some(left), Some(right)) => (left - right).abs() <= left.abs().max(right.abs()) * 1e-9,
        _ => false,
    }
}

/// Whole bytes, for a memory quantity.
#[must_use]
pub fn bytes(text: &str) -> Option<u64> {
    let bytes = parse(text)?;
    // Casting a float saturates; negative amounts are no memory.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    (bytes >= 0.0).then_some(bytes as u64)
}

/// The CPU limit that goes with a memory limit, as a quantity.
#[must_use]
pub fn cpu_for_memory(memory: &str) -> Option<String> {
    let millicores = (parse(memory)? / BYTES_PER_CORE * 1000.0).ceil().max(LEAST_MILLICORES);
    Some(format!("{millicores}m"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_reads_them() {
        for (text, value) in
            [("0", 0.0), ("500m", 0.5), ("1.5", 1.5), ("1Ki", 1024.0), ("1e3", 1000.0), ("2E", 2e18)]
        {
            assert_eq!(parse(text), Some(value), "{text}");
        }
        for text in ["", "m", "1 Gi", "one", "1KiB", "1e"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_same_amount_is_the_same_however_it_is_written() {
        for (left, right) in [("1024Mi", "1Gi"), ("0.1", "100m"), ("1k", "1000")] {
            assert!(same(left, right), "{left} {right}");
        }
        assert!(!same("1G", "1Gi"));
    }

    #[test]
    fn cpu_follows_memory() {
        for (memory, cpu) in [("1769Mi", "1000m"), ("512Mi", "290m"), ("3538Mi", "2000m"), ("32Mi", "50m")] {
            assert_eq!(cpu_for_memory(memory).as_deref(), Some(cpu), "{memory}");
        }
    }
}
