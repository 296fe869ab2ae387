//! Durations, as users write them and as they read them.

use std::time::Duration;

/// `500ms`, `30s`, `5m`, `2h`; a bare number is seconds; all may have a fraction.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("expected a number and one of ms, s, m, h; such as 500ms, 30s, 5m, 2h".into()),
    };
    let number: f64 = number.parse().map_err(|_| "expected a number, such as 30 or 1.5".to_string())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| "too long".into())
}

/// For people: two units at most, and no more precision than they can use.
pub(crate) fn spoken(time: Duration) -> String {
    let secs = time.as_secs();
    let (minutes, hours, days) = (secs / 60, secs / 3600, secs / 86_400);
    match secs {
        0 if !time.is_zero() => format!("{} ms", time.as_millis()),
        0..60 => format!("{secs} s"),
        60..3600 => format!("{minutes} min {} s", secs % 60),
        3600..86_400 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
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
            ("15", Duration::from_secs(15)),
            ("0", Duration::ZERO),
            ("0.25", Duration::from_millis(250)),
            (".5m", Duration::from_secs(30)),
            ("1.5h", Duration::from_secs(5400)),
            ("0.5ms", Duration::from_micros(500)),
        ];
        for (text, time) in cases {
            assert_eq!(parse(text), Ok(time), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in
            ["", "s", ".", "-1", "+1", "1.2.3", "5 m", "5d", "1e3", "inf", "NaN", "5mm", "9999999999999999999999h"]
        {
            assert!(parse(text).is_err(), "{text:?} was taken for {:?}", parse(text));
        }
    }

    #[test]
    fn people_are_told_two_units_at_most() {
        let cases = [(0, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (7260, "2 h 1 min"), (90_000, "1 d 1 h")];
        for (secs, text) in cases {
            assert_eq!(spoken(Duration::from_secs(secs)), text);
        }
        assert_eq!(spoken(Duration::from_millis(1999)), "1 s");
        assert_eq!(spoken(Duration::from_millis(999)), "999 ms");
    }
}
