//! Durations as users type and read them. Whatever linklock prints may be typed as an option's value.

use std::time::Duration;

/// The units, the longest first, in milliseconds.
const UNITS: [(&str, u32); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// `500ms`, `30s`, `1m30s`, `1.5h`, `1d`; a number alone is in seconds.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    let mut sum = Duration::ZERO;
    let mut rest = text;
    loop {
        let (number, tail) = rest.split_at(rest.find(|c| !is_number(c)).unwrap_or(rest.len()));
        let (unit, next) = tail.split_at(tail.find(is_number).unwrap_or(tail.len()));
        // In 1m30 the 30 has no unit: nobody can tell which was meant.
        let unit = if unit.is_empty() && rest.len() == text.len() { "s" } else { unit };
        let ms = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, ms)| f64::from(*ms));
        let (Some(ms), Ok(number)) = (ms, number.parse::<f64>()) else {
            return Err("expected a number with a unit: 500ms, 30s, 5m, 2h, 1d, 1m30s".into());
        };
        let part = Duration::try_from_secs_f64(number * ms / 1000.0);
        sum = part.ok().and_then(|part| sum.checked_add(part)).ok_or("too long")?;
        if next.is_empty() {
            return Ok(sum);
        }
        rest = next;
    }
}

/// For people: two units at most, the rest is cut off.
pub(crate) fn short(time: Duration) -> String {
    let ms = time.as_millis();
    let mut units = UNITS.iter().skip_while(|(_, unit)| ms < u128::from(*unit));
    let Some((name, unit)) = units.next() else { return "0s".into() };
    let (count, left) = (ms / u128::from(*unit), ms % u128::from(*unit));
    match units.next() {
        Some((next, unit)) if *next != "ms" && left >= u128::from(*unit) => {
            format!("{count}{name}{}{next}", left / u128::from(*unit))
        }
        _ => format!("{count}{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_is_understood() {
        let cases = [
            ("500ms", Duration::from_millis(500)),
            ("30s", Duration::from_secs(30)),
            ("5m", Duration::from_secs(300)),
            ("2h", Duration::from_secs(7200)),
            ("1d", Duration::from_secs(86_400)),
            ("15", Duration::from_secs(15)),
            ("0", Duration::ZERO),
            ("0.25", Duration::from_millis(250)),
            (".5m", Duration::from_secs(30)),
            ("1.5h", Duration::from_secs(5400)),
            ("0.5ms", Duration::from_micros(500)),
            ("1m30s", Duration::from_secs(90)),
            ("1d2h3m4.5s6ms", Duration::from_millis(93_784_506)),
        ];
        for (text, time) in cases {
            assert_eq!(parse(text), Ok(time), "{text}");
        }
    }

    #[test]
    fn text_that_is_not_a_duration_is_refused() {
        for text in [
            "",
            "s",
            ".",
            "-1",
            "+1",
            "1.2.3",
            "5 m",
            "5w",
            "5M",
            "1e3",
            "inf",
            "NaN",
            "5mm",
            "1m30",
            "1m 30s",
            "1m-30s",
            "9999999999999999999999h",
            "18446744073709551615s1000ms",
        ] {
            assert!(parse(text).is_err(), "{text:?} was taken for {:?}", parse(text));
        }
    }

    #[test]
    fn people_read_two_units_at_most() {
        let cases = [
            (0, "0s"),
            (999, "999ms"),
            (1999, "1s"),
            (59_000, "59s"),
            (60_000, "1m"),
            (90_000, "1m30s"),
            (7_260_000, "2h1m"),
            (7_201_000, "2h"),
            (90_000_000, "1d1h"),
        ];
        for (ms, text) in cases {
            assert_eq!(short(Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn every_duration_that_is_printed_may_be_typed() {
        let mut seed = 1_u64;
        for round in 0..100_000 {
            // A linear congruential generator (Knuth's MMIX), shifted so that all magnitudes up to 500,000 years come.
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let time = Duration::from_millis(seed >> (10 + round % 54));
            let text = short(time);
            let typed = parse(&text).unwrap();
            assert_eq!(short(typed), text, "{time:?}");
            // Less than one of the second unit is left out: that is less than a 24th, or less than a second.
            let left_out = time - typed;
            assert!(left_out < Duration::from_secs(1).max(time / 24), "{time:?} was printed as {text}");
        }
    }
}
