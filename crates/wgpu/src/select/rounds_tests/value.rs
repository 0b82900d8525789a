//! Values of all invocations of a workgroup at once. Only integers and truth values have one: nothing
//! that a loop of the kernels depends on is a float.

use std::rc::Rc;

use naga::{BinaryOperator as Op, MathFunction, ScalarKind};

/// A value in every invocation.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Not known, and not needed.
    Dark,
    /// The same everywhere; truth values are 0 and 1.
    One(u32),
    /// One of each invocation.
    Each(Rc<[u32]>),
    /// Components, members or elements.
    Many(Rc<[Value]>),
    /// Where something lies in memory: root, and byte offset.
    At(Place),
}

/// A place in memory.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) root: Root,
    /// Bytes from the start of a global variable.
    pub(super) offset: Rc<Value>,
    /// Members and elements from the start of a local one; nothing where that is not known.
    pub(super) path: Option<Rc<[u32]>>,
    pub(super) shape: Shape,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Root {
    Local(naga::Handle<naga::LocalVariable>),
    Global(naga::Handle<naga::GlobalVariable>),
}

/// What lies at a place.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    Type(naga::Handle<naga::Type>),
    Scalar(ScalarKind),
}

/// Which invocations take part.
pub(super) type Mask = Rc<[bool]>;

impl Value {
    pub(super) fn each(list: Vec<u32>) -> Value {
        match list.split_first() {
            Some((first, rest)) if rest.iter().all(|x| x == first) => Value::One(*first),
            _ => Value::Each(list.into()),
        }
    }

    pub(super) fn many(list: impl IntoIterator<Item = Value>) -> Value {
        Value::Many(list.into_iter().collect())
    }

    /// In one invocation.
    pub(super) fn of(&self, lane: usize) -> Option<u32> {
        match self {
            Value::One(x) => Some(*x),
            Value::Each(list) => list.get(lane).copied(),
            _ => None,
        }
    }

    pub(super) fn component(&self, i: usize) -> Value {
        match self {
            Value::Many(list) => list.get(i).cloned().unwrap_or(Value::Dark),
            Value::At(_) | Value::Dark => Value::Dark,
            scalar => scalar.clone(),
        }
    }

    pub(super) fn map(&self, f: &dyn Fn(u32) -> u32) -> Value {
        match self {
            Value::One(x) => Value::One(f(*x)),
            Value::Each(list) => Value::each(list.iter().map(|&x| f(x)).collect()),
            Value::Many(list) => Value::many(list.iter().map(|v| v.map(f))),
            _ => Value::Dark,
        }
    }

    /// A function of two values, component by component.
    pub(super) fn zip(&self, other: &Value, f: &dyn Fn(u32, u32) -> u32) -> Value {
        match (self, other) {
            (Value::Dark | Value::At(_), _) | (_, Value::Dark | Value::At(_)) => Value::Dark,
            (Value::Many(l), r) => Value::many(l.iter().enumerate().map(|(i, l)| l.zip(&r.component(i), f))),
            (l, Value::Many(r)) => Value::many(r.iter().map(|r| l.zip(r, f))),
            (Value::One(l), Value::One(r)) => Value::One(f(*l, *r)),
            (Value::One(l), Value::Each(r)) => Value::each(r.iter().map(|&r| f(*l, r)).collect()),
            (Value::Each(l), Value::One(r)) => Value::each(l.iter().map(|&l| f(l, *r)).collect()),
            (Value::Each(l), Value::Each(r)) => Value::each(l.iter().zip(&**r).map(|(&l, &r)| f(l, r)).collect()),
        }
    }

    /// `self` where the mask is set, `other` elsewhere.
    pub(super) fn over(&self, other: &Value, mask: &Mask) -> Value {
        if mask.iter().all(|&on| on) {
            return self.clone();
        }
        match (self, other) {
            (Value::Many(new), old) => {
                Value::many(new.iter().enumerate().map(|(i, v)| v.over(&old.component(i), mask)))
            }
            (Value::One(a), Value::One(b)) if a == b => Value::One(*a),
            (Value::One(_) | Value::Each(_), Value::One(_) | Value::Each(_)) => {
                let pick = |(i, &on): (usize, &bool)| if on { self.of(i) } else { other.of(i) };
                mask.iter().enumerate().map(pick).collect::<Option<Vec<u32>>>().map_or(Value::Dark, Value::each)
            }
            _ => Value::Dark,
        }
    }

    /// `self` with the element at the end of `path` replaced where the mask is set.
    pub(super) fn with(&self, path: &[u32], value: &Value, mask: &Mask) -> Value {
        match (path.split_first(), self) {
            (None, old) => value.over(old, mask),
            (Some((&at, rest)), Value::Many(list)) => {
                let put =
                    |(i, v): (usize, &Value)| if i == at as usize { v.with(rest, value, mask) } else { v.clone() };
                Value::many(list.iter().enumerate().map(put))
            }
            _ => Value::Dark,
        }
    }
}

pub(super) fn binary(op: Op, l: &Value, r: &Value, signed: bool) -> Value {
    let compare = |f: fn(std::cmp::Ordering) -> bool| {
        move |a: u32, b: u32| u32::from(f(if signed { (a as i32).cmp(&(b as i32)) } else { a.cmp(&b) }))
    };
    match op {
        Op::Add => l.zip(r, &u32::wrapping_add),
        Op::Subtract => l.zip(r, &u32::wrapping_sub),
        Op::Multiply => l.zip(r, &u32::wrapping_mul),
        Op::Divide if !signed => l.zip(r, &|a, b| a.checked_div(b).unwrap_or(a)),
        Op::Modulo if !signed => l.zip(r, &|a, b| a.checked_rem(b).unwrap_or(0)),
        Op::Equal => l.zip(r, &compare(std::cmp::Ordering::is_eq)),
        Op::NotEqual => l.zip(r, &compare(std::cmp::Ordering::is_ne)),
        Op::Less => l.zip(r, &compare(std::cmp::Ordering::is_lt)),
        Op::LessEqual => l.zip(r, &compare(std::cmp::Ordering::is_le)),
        Op::Greater => l.zip(r, &compare(std::cmp::Ordering::is_gt)),
        Op::GreaterEqual => l.zip(r, &compare(std::cmp::Ordering::is_ge)),
        Op::And | Op::LogicalAnd => l.zip(r, &|a, b| a & b),
        Op::InclusiveOr | Op::LogicalOr => l.zip(r, &|a, b| a | b),
        Op::ExclusiveOr => l.zip(r, &|a, b| a ^ b),
        Op::ShiftLeft => l.zip(r, &u32::wrapping_shl),
        Op::ShiftRight if signed => l.zip(r, &|a, b| (a as i32).wrapping_shr(b) as u32),
        Op::ShiftRight => l.zip(r, &u32::wrapping_shr),
        _ => Value::Dark,
    }
}

pub(super) fn math(function: MathFunction, args: &[Value], signed: bool) -> Value {
    let pick = |least: bool| {
        move |a: u32, b: u32| {
            let first = if signed { (a as i32) < b as i32 } else { a < b };
            if first == least { a } else { b }
        }
    };
    match (function, args) {
        (MathFunction::Min, [a, b]) => a.zip(b, &pick(true)),
        (MathFunction::Max, [a, b]) => a.zip(b, &pick(false)),
        (MathFunction::Clamp, [x, low, high]) => x.zip(low, &pick(false)).zip(high, &pick(true)),
        (MathFunction::CountLeadingZeros, [x]) => x.map(&u32::leading_zeros),
        _ => Value::Dark,
    }
}
