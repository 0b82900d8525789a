//! Runs the text of a kernel as drivers do that run invocations side by side, and counts the rounds of
//! its loops: one counter for all loops, all invocations in step, and nothing skipped. A branch that
//! nobody takes is run for nobody, and of a loop also the round in which the last invocation leaves.
//!
//! A workgroup is taken as one such set of invocations, which makes at least the rounds of any part of
//! it; of a large one only the first and the last invocations. Floats have no values here.

use std::collections::HashMap;
use std::rc::Rc;

use naga::proc::TypeResolution;
use naga::valid::{FunctionInfo, ModuleInfo};
use naga::{
    AddressSpace, Binding, Block, BuiltIn, Expression, Function, Handle, Literal, Module, ScalarKind, Statement, Type,
    TypeInner,
};

use super::value::{Mask, Place, Root, Shape, Value, binary, math};

/// More rounds than any launch may make: the kernel does not end.
const MOST: u64 = 1 << 18;

/// What a launch gives to a kernel.
pub(super) struct Input<'a> {
    /// The kernel's name.
    pub(super) name: &'a str,
    pub(super) params: &'a [u32],
    pub(super) groups: [u32; 3],
    /// The workgroup that is run.
    pub(super) group: u32,
    pub(super) subgroup: u32,
    /// Integers in storage: binding and word to value.
    pub(super) data: &'a dyn Fn(u32, u32) -> u32,
}

/// A function that is being run.
pub(super) struct Frame<'a> {
    function: &'a Function,
    info: &'a FunctionInfo,
    arguments: Vec<Value>,
    values: Vec<Option<Value>>,
    pub(super) locals: Vec<Value>,
    returned: Vec<bool>,
    /// What the invocations that returned so far leave.
    result: Option<Value>,
    /// The lanes that left each loop, and those that left its round.
    loops: Vec<[Vec<bool>; 2]>,
    /// Branches around that may or may not be taken: of the loop, and of the function. What leaves the
    /// loop or the function there may also go on.
    open: [u32; 2],
}

pub(super) struct Machine<'a> {
    pub(super) module: &'a Module,
    info: &'a ModuleInfo,
    pub(super) input: &'a Input<'a>,
    /// Which invocations of the workgroup.
    indices: Vec<u32>,
    pub(super) lanes: usize,
    pub(super) shared: HashMap<Handle<naga::GlobalVariable>, Vec<u32>>,
    pub(super) private: HashMap<Handle<naga::GlobalVariable>, Vec<Vec<u32>>>,
    pub(super) rounds: u64,
}

fn any(mask: &Mask) -> bool {
    mask.iter().any(|&on| on)
}

fn both(mask: &Mask, f: impl Fn(usize) -> bool) -> Mask {
    mask.iter().enumerate().map(|(i, &on)| on && f(i)).collect()
}

impl<'a> Machine<'a> {
    /// The rounds of one workgroup.
    pub(super) fn rounds(module: &'a Module, info: &'a ModuleInfo, input: &'a Input<'a>) -> u64 {
        let entry = &module.entry_points[0];
        let all: u32 = entry.workgroup_size.iter().product();
        let indices: Vec<u32> = (0..all).filter(|i| all <= 64 || *i < 8 || i + 8 >= all).collect();
        let (lanes, shared, private) = (indices.len(), HashMap::new(), HashMap::new());
        let mut machine = Machine { module, info, input, indices, lanes, shared, private, rounds: 0 };
        for (handle, variable) in module.global_variables.iter() {
            let words = machine.bytes(variable.ty).div_ceil(4) as usize;
            match variable.space {
                AddressSpace::WorkGroup => drop(machine.shared.insert(handle, vec![0; words])),
                AddressSpace::Private => drop(machine.private.insert(handle, vec![vec![0; words]; lanes])),
                _ => {}
            }
        }
        let given =
            |argument: &naga::FunctionArgument| machine.builtin(argument.binding.as_ref(), entry.workgroup_size);
        let arguments = entry.function.arguments.iter().map(given).collect();
        let all: Mask = vec![true; lanes].into();
        machine.call(&entry.function, info.get_entry_point(0), arguments, &all);
        machine.rounds
    }

    fn bytes(&self, ty: Handle<Type>) -> u32 {
        self.module.types[ty].inner.size(self.module.to_ctx())
    }

    fn builtin(&self, binding: Option<&Binding>, size: [u32; 3]) -> Value {
        let Some(Binding::BuiltIn(builtin)) = binding else { return Value::Dark };
        let lane = |f: &dyn Fn(u32) -> u32| Value::each(self.indices.iter().map(|&i| f(i)).collect());
        let (subgroup, [x, y, _]) = (self.input.subgroup, self.input.groups);
        let three = |list: [u32; 3]| Value::many(list.map(Value::One));
        match builtin {
            BuiltIn::WorkGroupId => {
                let group = self.input.group;
                three([group % x, group / x % y, group / x / y])
            }
            BuiltIn::NumWorkGroups => three(self.input.groups),
            BuiltIn::LocalInvocationIndex => lane(&|i| i),
            BuiltIn::LocalInvocationId => Value::many([
                lane(&|i| i % size[0]),
                lane(&|i| i / size[0] % size[1]),
                lane(&|i| i / size[0] / size[1]),
            ]),
            BuiltIn::SubgroupInvocationId => lane(&|i| i % subgroup),
            BuiltIn::SubgroupId => lane(&|i| i / subgroup),
            BuiltIn::SubgroupSize => Value::One(subgroup),
            BuiltIn::NumSubgroups => Value::One(size.iter().product::<u32>().div_ceil(subgroup)),
            _ => Value::Dark,
        }
    }

    fn call(&mut self, function: &'a Function, info: &'a FunctionInfo, arguments: Vec<Value>, mask: &Mask) -> Value {
        let mut frame = Frame {
            function,
            info,
            arguments,
            values: vec![None; function.expressions.len()],
            locals: Vec::new(),
            returned: vec![false; self.lanes],
            result: None,
            loops: Vec::new(),
            open: [0; 2],
        };
        for (_, local) in function.local_variables.iter() {
            let start = match local.init {
                Some(init) => self.value(&mut frame, init),
                None => self.zero(local.ty),
            };
            frame.locals.push(start);
        }
        self.block(&mut frame, &function.body, mask);
        frame.result.unwrap_or(Value::Dark)
    }

    /// Runs a block; which of the invocations come to its end.
    fn block(&mut self, frame: &mut Frame<'a>, block: &'a Block, mask: &Mask) -> Mask {
        let mut mask = Rc::clone(mask);
        for statement in block {
            mask = self.statement(frame, statement, &mask);
        }
        mask
    }

    fn statement(&mut self, frame: &mut Frame<'a>, statement: &'a Statement, mask: &Mask) -> Mask {
        let same = Rc::clone(mask);
        let nobody = || -> Mask { vec![false; mask.len()].into() };
        match statement {
            Statement::Emit(range) if any(mask) => {
                for handle in range.clone() {
                    let value = self.compute(frame, handle);
                    frame.values[handle.index()] = Some(value);
                }
            }
            Statement::Block(block) => return self.block(frame, block, mask),
            Statement::If { condition, accept, reject } => {
                let condition = if any(mask) { self.value(frame, *condition) } else { Value::One(0) };
                if condition.of(0).is_none() {
                    frame.open.iter_mut().for_each(|n| *n += 1);
                    self.block(frame, accept, mask);
                    self.block(frame, reject, mask);
                    frame.open.iter_mut().for_each(|n| *n -= 1);
                    return same;
                }
                let taken = self.block(frame, accept, &both(mask, |i| condition.of(i) == Some(1)));
                let other = self.block(frame, reject, &both(mask, |i| condition.of(i) != Some(1)));
                return taken.iter().zip(&*other).map(|(&a, &b)| a || b).collect();
            }
            Statement::Switch { selector, cases } => {
                let selector = if any(mask) { self.value(frame, *selector) } else { Value::One(0) };
                let literal = |value: &naga::SwitchValue| match *value {
                    naga::SwitchValue::I32(x) => Some(x as u32),
                    naga::SwitchValue::U32(x) => Some(x),
                    naga::SwitchValue::Default => None,
                };
                let known: Vec<u32> = cases.iter().filter_map(|case| literal(&case.value)).collect();
                let mut end = vec![false; mask.len()];
                for case in cases {
                    let takes = |i: usize| match (literal(&case.value), selector.of(i)) {
                        (_, None) => true,
                        (Some(x), Some(y)) => x == y,
                        (None, Some(y)) => !known.contains(&y),
                    };
                    // A break ends the switch, as the end of the case does.
                    frame.loops.push([vec![false; mask.len()], vec![false; mask.len()]]);
                    let rest = self.block(frame, &case.body, &both(mask, takes));
                    let left = frame.loops.pop().unwrap_or_default();
                    (0..end.len()).for_each(|i| end[i] |= rest[i] || left[0][i]);
                }
                return end.into();
            }
            Statement::Loop { body, continuing, break_if } => {
                return self.repeat(frame, body, continuing, *break_if, mask);
            }
            Statement::Break | Statement::Continue => {
                if frame.open[0] > 0 {
                    return same;
                }
                let which = usize::from(matches!(statement, Statement::Continue));
                if let Some(innermost) = frame.loops.last_mut() {
                    innermost[which].iter_mut().zip(&**mask).for_each(|(left, &on)| *left |= on);
                }
                return nobody();
            }
            Statement::Return { value } => {
                if let (Some(value), true) = (value, any(mask)) {
                    let value = self.value(frame, *value);
                    frame.result = match &frame.result {
                        _ if frame.open[1] > 0 => Some(Value::Dark),
                        None => Some(value),
                        Some(former) => Some(value.over(former, mask)),
                    };
                }
                if frame.open[1] > 0 {
                    return same;
                }
                frame.returned.iter_mut().zip(&**mask).for_each(|(left, &on)| *left |= on);
                return nobody();
            }
            Statement::Store { pointer, value } if any(mask) => {
                let place = self.value(frame, *pointer);
                let value = self.value(frame, *value);
                self.store(frame, &place, &value, mask);
            }
            Statement::Atomic { pointer, fun, value, result } if any(mask) => {
                let place = self.value(frame, *pointer);
                let value = self.value(frame, *value);
                let old = self.atomic(&place, *fun, &value, mask);
                if let Some(result) = result {
                    frame.values[result.index()] = Some(old);
                }
            }
            Statement::WorkGroupUniformLoad { pointer, result } if any(mask) => {
                let place = self.value(frame, *pointer);
                frame.values[result.index()] = Some(self.load(frame, &place));
            }
            Statement::Call { function, arguments, result } => {
                let arguments = match any(mask) {
                    true => arguments.iter().map(|&a| self.value(frame, a)).collect(),
                    false => vec![Value::Dark; arguments.len()],
                };
                let value = self.call(&self.module.functions[*function], &self.info[*function], arguments, mask);
                if let Some(result) = result {
                    frame.values[result.index()] = Some(value);
                }
            }
            Statement::SubgroupBallot { result, .. }
            | Statement::SubgroupGather { result, .. }
            | Statement::SubgroupCollectiveOperation { result, .. } => {
                frame.values[result.index()] = Some(Value::Dark);
            }
            _ => {}
        }
        same
    }

    fn repeat(
        &mut self,
        frame: &mut Frame<'a>,
        body: &'a Block,
        continuing: &'a Block,
        break_if: Option<Handle<Expression>>,
        mask: &Mask,
    ) -> Mask {
        let outer = std::mem::take(&mut frame.open[0]);
        let mut live = Rc::clone(mask);
        loop {
            self.rounds += 1;
            let function = &frame.function.name;
            assert!(self.rounds <= MOST, "the loops of {} do not end: {function:?}", self.input.name);
            frame.loops.push([vec![false; mask.len()], vec![false; mask.len()]]);
            let end = self.block(frame, body, &live);
            let [_, continued] = frame.loops.last().cloned().unwrap_or_default();
            let next: Mask = end.iter().zip(&continued).map(|(&a, &b)| a || b).collect();
            let mut next = self.block(frame, continuing, &next);
            frame.loops.pop();
            if let Some(condition) = break_if.filter(|_| any(&next)) {
                let condition = self.value(frame, condition);
                next = both(&next, |i| condition.of(i) == Some(0));
            }
            live = next;
            if !any(&live) {
                break;
            }
        }
        frame.open[0] = outer;
        both(mask, |i| !frame.returned[i])
    }

    fn zero(&self, ty: Handle<Type>) -> Value {
        match &self.module.types[ty].inner {
            TypeInner::Scalar(s) if s.kind != ScalarKind::Float => Value::One(0),
            TypeInner::Vector { size, scalar } if scalar.kind != ScalarKind::Float => {
                Value::many((0..*size as usize).map(|_| Value::One(0)))
            }
            TypeInner::Struct { members, .. } => Value::many(members.iter().map(|m| self.zero(m.ty))),
            _ => Value::Dark,
        }
    }

    /// The value of an expression that was computed, or needs no computing.
    fn value(&mut self, frame: &mut Frame<'a>, handle: Handle<Expression>) -> Value {
        match &frame.values[handle.index()] {
            Some(value) => value.clone(),
            None => self.compute(frame, handle),
        }
    }

    fn kind(&self, resolution: &TypeResolution) -> Option<ScalarKind> {
        resolution.inner_with(&self.module.types).scalar_kind()
    }

    fn compute(&mut self, frame: &mut Frame<'a>, handle: Handle<Expression>) -> Value {
        if self.kind(&frame.info[handle].ty) == Some(ScalarKind::Float) {
            return Value::Dark;
        }
        match frame.function.expressions[handle] {
            Expression::FunctionArgument(i) => frame.arguments[i as usize].clone(),
            Expression::GlobalVariable(global) => {
                let shape = Shape::Type(self.module.global_variables[global].ty);
                let offset = Rc::new(Value::One(0));
                Value::At(Place { root: Root::Global(global), offset, path: None, shape })
            }
            Expression::LocalVariable(local) => {
                let shape = Shape::Type(frame.function.local_variables[local].ty);
                let (offset, path) = (Rc::new(Value::Dark), Some(Rc::from(Vec::new())));
                Value::At(Place { root: Root::Local(local), offset, path, shape })
            }
            Expression::Access { base, index } => {
                let base = self.value(frame, base);
                let index = self.value(frame, index);
                match &base {
                    Value::At(place) => Value::At(self.element(place, &index)),
                    Value::Many(_) => index
                        .of(0)
                        .filter(|_| matches!(index, Value::One(_)))
                        .map_or_else(|| self.pick(&base, &index), |i| base.component(i as usize)),
                    _ => Value::Dark,
                }
            }
            Expression::AccessIndex { base, index } => match self.value(frame, base) {
                Value::At(place) => Value::At(self.element(&place, &Value::One(index))),
                value => value.component(index as usize),
            },
            Expression::Load { pointer } => {
                let place = self.value(frame, pointer);
                self.load(frame, &place)
            }
            Expression::Splat { size, value } => {
                let value = self.value(frame, value);
                Value::many((0..size as usize).map(|_| value.clone()))
            }
            Expression::Swizzle { size, vector, pattern } => {
                let vector = self.value(frame, vector);
                Value::many(pattern[..size as usize].iter().map(|&c| vector.component(c as usize)))
            }
            Expression::Compose { ty, ref components } => {
                let parts: Vec<Value> = components.iter().map(|&c| self.value(frame, c)).collect();
                let vector = matches!(self.module.types[ty].inner, TypeInner::Vector { .. });
                // Vectors may be made of vectors.
                let flat = |part: Value| match part {
                    Value::Many(list) if vector => list.to_vec(),
                    other => vec![other],
                };
                Value::many(parts.into_iter().flat_map(flat))
            }
            Expression::Unary { op, expr } => {
                let value = self.value(frame, expr);
                match op {
                    naga::UnaryOperator::Negate => value.map(&u32::wrapping_neg),
                    naga::UnaryOperator::LogicalNot => value.map(&|x| x ^ 1),
                    naga::UnaryOperator::BitwiseNot => value.map(&|x| !x),
                }
            }
            Expression::Binary { op, left, right } => {
                let signed = self.kind(&frame.info[left].ty) == Some(ScalarKind::Sint);
                let (left, right) = (self.value(frame, left), self.value(frame, right));
                binary(op, &left, &right, signed)
            }
            Expression::Select { condition, accept, reject } => {
                let condition = self.value(frame, condition);
                let (accept, reject) = (self.value(frame, accept), self.value(frame, reject));
                let on = condition.zip(&accept, &|c, x| if c == 1 { x } else { 0 });
                on.zip(&condition.zip(&reject, &|c, x| if c == 1 { 0 } else { x }), &|a, b| a | b)
            }
            Expression::Math { fun, arg, arg1, arg2, .. } => {
                let signed = self.kind(&frame.info[arg].ty) == Some(ScalarKind::Sint);
                let args: Vec<Value> =
                    [Some(arg), arg1, arg2].into_iter().flatten().map(|a| self.value(frame, a)).collect();
                math(fun, &args, signed)
            }
            Expression::As { expr, kind, convert } => {
                let value = self.value(frame, expr);
                match convert {
                    Some(_) if kind == ScalarKind::Bool => value.map(&|x| u32::from(x != 0)),
                    _ => value,
                }
            }
            Expression::CallResult(_)
            | Expression::AtomicResult { .. }
            | Expression::WorkGroupUniformLoadResult { .. }
            | Expression::SubgroupOperationResult { .. }
            | Expression::SubgroupBallotResult => Value::Dark,
            ref constant => self.constant(constant),
        }
    }

    /// An element whose index differs between invocations.
    fn pick(&self, base: &Value, index: &Value) -> Value {
        let of = |lane| base.component(index.of(lane)? as usize).of(lane);
        (0..self.lanes).map(of).collect::<Option<Vec<u32>>>().map_or(Value::Dark, Value::each)
    }

    fn constant(&self, expression: &Expression) -> Value {
        let global = |handle: Handle<Expression>| self.constant(&self.module.global_expressions[handle]);
        match *expression {
            Expression::Literal(Literal::U32(x)) => Value::One(x),
            Expression::Literal(Literal::I32(x)) => Value::One(x as u32),
            Expression::Literal(Literal::Bool(x)) => Value::One(u32::from(x)),
            Expression::Constant(handle) => global(self.module.constants[handle].init),
            Expression::ZeroValue(ty) => self.zero(ty),
            Expression::Compose { ref components, .. } => Value::many(components.iter().map(|&c| global(c))),
            Expression::Splat { size, value } => {
                let value = global(value);
                Value::many((0..size as usize).map(|_| value.clone()))
            }
            _ => Value::Dark,
        }
    }
}
