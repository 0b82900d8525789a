//! In which direction results are rounded: told from results that lie between two numbers of their
//! type, among them exact halves.

use unisono_core::DType;

use crate::data::power_of_two;

/// A direction of rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    NearestEven,
    NearestAway,
    TowardZero,
    Up,
    Down,
    /// To the neighbour with an odd last digit, where the value is not exact.
    Odd,
}

impl Mode {
    pub(super) const ALL: [Mode; 6] =
        [Mode::NearestEven, Mode::NearestAway, Mode::TowardZero, Mode::Up, Mode::Down, Mode::Odd];

    pub(super) fn name(self) -> &'static str {
        match self {
            Mode::NearestEven => "nearest even",
            Mode::NearestAway => "nearest, ties away from zero",
            Mode::TowardZero => "toward zero",
            Mode::Up => "up",
            Mode::Down => "down",
            Mode::Odd => "to odd",
        }
    }
}

/// Digits of a type's significand.
fn digits(dtype: DType) -> i32 {
    match dtype {
        DType::F16 => 11,
        DType::BF16 => 8,
        _ => 24,
    }
}

/// The exponent of a normal number: `2^e ≤ |x| < 2^(e+1)`.
pub(super) fn exponent(x: f64) -> i32 {
    ((x.to_bits() >> 52) & 0x7FF) as i32 - 1023
}

/// The distance between neighbours of `x` in `dtype`, for normal numbers.
fn step(x: f64, dtype: DType) -> f64 {
    power_of_two(exponent(x) + 1 - digits(dtype))
}

/// `x` rounded to `dtype`, whose range it does not leave.
pub(super) fn round(x: f64, dtype: DType, mode: Mode) -> f64 {
    if x == 0.0 {
        return x;
    }
    let step = step(x, dtype);
    let q = x / step;
    let (low, high) = (q.floor(), q.ceil());
    if low == high {
        return x;
    }
    let pick = match mode {
        Mode::NearestEven => q.round_ties_even(),
        Mode::NearestAway => q.round(),
        Mode::TowardZero => q.trunc(),
        Mode::Up => high,
        Mode::Down => low,
        Mode::Odd if low % 2.0 == 0.0 => high,
        Mode::Odd => low,
    };
    pick * step
}

/// The direction that explains every result, else what can be said: an answer and its evidence.
pub(super) fn tell(exact: &[f64], got: &[f64], dtype: DType) -> (String, String) {
    let inexact: Vec<(f64, f64)> = exact
        .iter()
        .zip(got)
        .map(|(&x, &y)| (x, y))
        .filter(|&(x, _)| round(x, dtype, Mode::Up) != round(x, dtype, Mode::Down))
        .collect();
    let wrong = exact.iter().zip(got).filter(|&(&x, &y)| round(x, dtype, Mode::Up) == x && x != y).count();
    let agreeing = |mode| inexact.iter().filter(|&&(x, y)| round(x, dtype, mode) == y).count();
    let n = inexact.len();
    let explained = Mode::ALL.into_iter().find(|&mode| agreeing(mode) == n && wrong == 0 && n > 0);
    if let Some(mode) = explained {
        return (mode.name().into(), format!("{n} of {n} inexact results"));
    }
    let error = |&(x, y): &(f64, f64)| {
        let e = (y - x).abs() / step(x, dtype);
        if e.is_nan() { f64::INFINITY } else { e }
    };
    let worst = exact.iter().zip(got).map(|(&x, &y)| error(&(x, y))).fold(0.0, f64::max);
    let share = |count: usize| 100.0 * count as f64 / n.max(1) as f64;
    let faithful = inexact.iter().filter(|&&(x, y)| [Mode::Up, Mode::Down].iter().any(|&m| round(x, dtype, m) == y));
    let answer = format!("no one direction, up to {worst:.2} ULP");
    let detail = format!(
        "{:.1}% as nearest even, {:.1}% one of both neighbours of {n} inexact results; {wrong} exact ones missed",
        share(agreeing(Mode::NearestEven)),
        share(faithful.count()),
    );
    (answer, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_by_hand() {
        let half = 1.0 + power_of_two(-24);
        let one_up = 1.0 + power_of_two(-23);
        for (mode, positive, negative) in [
            (Mode::NearestEven, 1.0, -1.0),
            (Mode::NearestAway, one_up, -one_up),
            (Mode::TowardZero, 1.0, -1.0),
            (Mode::Up, one_up, -1.0),
            (Mode::Down, 1.0, -one_up),
            (Mode::Odd, one_up, -one_up),
        ] {
            assert_eq!(round(half, DType::F32, mode), positive, "{mode:?}");
            assert_eq!(round(-half, DType::F32, mode), negative, "{mode:?}");
        }
        assert_eq!(round(2049.0, DType::F16, Mode::NearestEven), 2048.0);
        assert_eq!(round(259.0, DType::BF16, Mode::Up), 260.0);
    }

    #[test]
    fn every_direction_is_told_from_the_others() {
        let exact: Vec<f64> =
            (0..64).map(|i| f64::from(i * 2 - 63) * 2f64.powi(-30) + 1.0 - f64::from(i % 2) * 2.0).collect();
        let exact: Vec<f64> =
            exact.into_iter().chain([1.0 + power_of_two(-24), 1.0 + 3.0 * power_of_two(-24)]).collect();
        for mode in Mode::ALL {
            let got: Vec<f64> = exact.iter().map(|&x| round(x, DType::F32, mode)).collect();
            assert_eq!(tell(&exact, &got, DType::F32).0, mode.name());
        }
        let got: Vec<f64> = exact.iter().map(|&x| x * 1.001).collect();
        assert!(tell(&exact, &got, DType::F32).0.starts_with("no one direction"));
    }
}
