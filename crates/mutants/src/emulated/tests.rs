//! The arithmetic against integers: every direction is exact.

use super::arithmetic::F;
use super::{Arithmetic, Builtins, Rounding};

const FLUSHING: Arithmetic = Arithmetic { flush: true, ..Arithmetic::IEEE };

fn toward(rounding: Rounding) -> Arithmetic {
    Arithmetic { rounding, ..Arithmetic::IEEE }
}

/// A finite f32 as `digits · 2^exponent`.
fn parts(x: f32) -> (i128, i32) {
    let bits = x.to_bits();
    let (exponent, fraction) = ((bits >> 23 & 0xff) as i32, i128::from(bits & 0x7f_ffff));
    let digits = if exponent == 0 { fraction } else { fraction | 1 << 23 };
    (if x < 0.0 { -digits } else { digits }, exponent.max(1) - 150)
}

/// How the exact `a ∘ b` compares with `y`, in integers; `None` where the shift would overflow.
fn compare(op: char, a: f32, b: f32, y: f32) -> Option<std::cmp::Ordering> {
    let ([(a, ea), (b, eb)], (y, ey)) = ([parts(a), parts(b)], parts(y));
    let shifted = |x: i128, by: i32| ((0..=70).contains(&by)).then(|| x << by);
    match op {
        '+' => {
            let least = ea.min(eb).min(ey);
            Some((shifted(a, ea - least)? + shifted(b, eb - least)?).cmp(&shifted(y, ey - least)?))
        }
        '*' => {
            let least = (ea + eb).min(ey);
            Some(shifted(a * b, ea + eb - least)?.cmp(&shifted(y, ey - least)?))
        }
        // a/b against y is a against y·b, with the sign of b.
        _ => {
            let least = ea.min(eb + ey);
            let order = shifted(a, ea - least)?.cmp(&shifted(y * b, eb + ey - least)?);
            Some(if b < 0 { order.reverse() } else { order })
        }
    }
}

/// Numbers of every kind of digits, within an exponent range in which the integers above suffice.
fn numbers(count: u32) -> impl Iterator<Item = f32> {
    (0..count).map(|i| {
        let bits = i.wrapping_mul(0x9e37_79b9).rotate_left(7) ^ i;
        let exponent = 115 + bits % 24;
        f32::from_bits((bits & 0x8000_0000) | exponent << 23 | (bits >> 8 & 0x7f_ffff & !((1 << (i % 24)) - 1)))
    })
}

#[test]
fn directions_are_those_of_exact_arithmetic() {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let mut inexact = 0;
    for op in ['+', '*', '/'] {
        for (a, b) in numbers(4000).zip(numbers(9000).skip(4321)) {
            let compute = |rounding| {
                toward(rounding).run(|| match op {
                    '+' => (F(a) + F(b)).0,
                    '*' => (F(a) * F(b)).0,
                    _ => (F(a) / F(b)).0,
                })
            };
            let (nearest, zero, up) =
                (compute(Rounding::Nearest), compute(Rounding::TowardZero), compute(Rounding::Up));
            let ieee = match op {
                '+' => a + b,
                '*' => a * b,
                _ => a / b,
            };
            assert_eq!(nearest.to_bits(), ieee.to_bits(), "{a} {op} {b}");
            let Some(order) = compare(op, a, b, up) else { continue };
            assert_ne!(order, Greater, "{a} {op} {b} rounded up to {up}");
            if order == Equal {
                assert_eq!([zero, nearest], [up, up], "{a} {op} {b} is exact");
                continue;
            }
            inexact += 1;
            assert_eq!(compare(op, a, b, up.next_down()), Some(Greater), "{a} {op} {b}: {up} is not the next above");
            let inward = if up > 0.0 { up.next_down() } else { up };
            assert_eq!(zero, inward, "{a} {op} {b}");
            let wanted = if zero > 0.0 { Greater } else { Less };
            assert_eq!(compare(op, a, b, zero), Some(wanted), "{a} {op} {b} toward zero is {zero}");
            assert!([up, up.next_down()].contains(&compute(Rounding::Either)));
        }
    }
    assert!(inexact > 5000, "{inexact}");
}

#[test]
fn roots_lie_between_neighbours() {
    for x in numbers(2000).map(f32::abs) {
        let root = |rounding| toward(rounding).run(|| F(x).sqrt().0);
        let square = |y: f32| f64::from(y) * f64::from(y);
        let (up, zero) = (root(Rounding::Up), root(Rounding::TowardZero));
        assert_eq!(root(Rounding::Nearest), x.sqrt());
        assert!(square(up) >= f64::from(x) && square(zero) <= f64::from(x), "{x}");
        assert!(up == zero || up == zero.next_up(), "{x}");
    }
}

#[test]
fn a_part_that_f64_loses_still_counts() {
    let sum = |rounding| toward(rounding).run(|| (F(1.0) + F(1e-30)).0);
    assert_eq!(sum(Rounding::Up), 1.0f32.next_up());
    assert_eq!(sum(Rounding::TowardZero), 1.0);
    let difference = toward(Rounding::TowardZero).run(|| (F(1.0) - F(1e-30)).0);
    assert_eq!(difference, 1.0f32.next_down());
}

#[test]
fn overflow_follows_the_direction() {
    let twice = |rounding, x: f32| toward(rounding).run(|| (F(x) * F(2.0)).0);
    assert_eq!(twice(Rounding::Nearest, f32::MAX), f32::INFINITY);
    assert_eq!(twice(Rounding::TowardZero, f32::MAX), f32::MAX);
    assert_eq!(twice(Rounding::Up, f32::MAX), f32::INFINITY);
    assert_eq!(twice(Rounding::Up, -f32::MAX), -f32::MAX);
}

#[test]
fn subnormal_numbers_flush_as_operand_and_as_result() {
    let least = f32::MIN_POSITIVE;
    assert_eq!(FLUSHING.run(|| (F(least) * F(0.5)).0), 0.0);
    assert_eq!(FLUSHING.run(|| (F(least / 2.0) * F(4.0)).0), 0.0);
    assert_eq!(FLUSHING.run(|| (F(-least / 2.0) + F(0.0)).0), 0.0);
    assert_eq!(Arithmetic::IEEE.run(|| (F(least / 2.0) * F(4.0)).0), 2.0 * least);
}

#[test]
fn sixteen_bits_store_in_every_direction() {
    use unisono_core::DType;
    let store = |rounding, x| toward(rounding).store(DType::F16, x);
    assert_eq!([1.0, 1.0 + 1.0 / 1024.0], [Rounding::TowardZero, Rounding::Up].map(|r| store(r, 1.0001)));
    assert_eq!(store(Rounding::Up, -1.0001), -1.0);
    assert_eq!(
        [65504.0, f32::INFINITY, f32::INFINITY],
        [Rounding::TowardZero, Rounding::Up, Rounding::Nearest].map(|r| store(r, 65520.0))
    );
    assert_eq!(store(Rounding::Nearest, 65519.0), 65504.0);
    for x in numbers(3000) {
        assert_eq!(store(Rounding::Nearest, x), half::f16::from_f32(x).to_f32());
        assert_eq!(toward(Rounding::Nearest).store(DType::BF16, x), half::bf16::from_f32(x).to_f32());
    }
    assert_eq!(FLUSHING.store(DType::F16, 1e-5), 0.0);
    assert_eq!(toward(Rounding::Up).store(DType::F16, 1e-9), 1.0 / 16_777_216.0);
}

#[test]
fn built_in_functions_err_by_what_is_admitted_and_no_more() {
    let worst = Arithmetic { builtins: Builtins::Worst, ..Arithmetic::IEEE };
    let unit = |y: f64| 2f64.powf(y.abs().log2().floor() - 23.0);
    let mut far = 0;
    for x in numbers(2000).filter(|x| x.abs() < 60.0) {
        let (exact, y) = (f64::from(x).exp(), f64::from(worst.run(|| F(x).exp().0)));
        let units = (y - exact).abs() / unit(exact);
        assert!(units <= 3.0 + 2.0 * f64::from(x.abs()) + 1e-6, "exp {x}: {units}");
        far += u32::from(units > 2.0);
        let quotient = f64::from(worst.run(|| (F(1.0) / F(x)).0));
        assert!((quotient - 1.0 / f64::from(x)).abs() <= 2.5 * unit(1.0 / f64::from(x)) * (1.0 + 1e-9), "1/{x}");
    }
    assert!(far > 1000, "{far}");
}
