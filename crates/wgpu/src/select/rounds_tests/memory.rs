//! Where values lie: variables of a function, workgroup and private memory word by word, parameters
//! from the launch, and integers in storage from the test. Floats are neither kept nor read.

use std::rc::Rc;

use naga::{AddressSpace, Handle, ScalarKind, TypeInner};

use super::machine::{Frame, Machine};
use super::value::{Mask, Place, Root, Shape, Value, binary};

impl<'a> Machine<'a> {
    /// The place of a member or an element of what lies at a place.
    pub(super) fn element(&self, place: &Place, index: &Value) -> Place {
        let constant = index.of(0).filter(|_| matches!(index, Value::One(_)));
        let moved = |stride: u32| {
            binary(naga::BinaryOperator::Add, &place.offset, &index.map(&|i| i.wrapping_mul(stride)), false)
        };
        let (shape, offset) = match place.shape {
            Shape::Scalar(_) => (place.shape, Value::Dark),
            Shape::Type(ty) => match &self.module.types[ty].inner {
                TypeInner::Struct { members, .. } => {
                    let member = &members[constant.unwrap_or(0) as usize];
                    (Shape::Type(member.ty), place.offset.map(&|x| x.wrapping_add(member.offset)))
                }
                TypeInner::Array { base, stride, .. } => (Shape::Type(*base), moved(*stride)),
                TypeInner::Vector { scalar, .. } => (Shape::Scalar(scalar.kind), moved(u32::from(scalar.width))),
                _ => (place.shape, Value::Dark),
            },
        };
        let path = place.path.as_ref().zip(constant);
        let path = path.map(|(path, i)| path.iter().copied().chain([i]).collect());
        Place { root: place.root, offset: Rc::new(offset), path, shape }
    }

    pub(super) fn load(&self, frame: &Frame<'a>, place: &Value) -> Value {
        let Value::At(place) = place else { return Value::Dark };
        match (place.root, &place.path) {
            (Root::Local(local), Some(path)) => {
                path.iter().fold(frame.locals[local.index()].clone(), |value, &i| value.component(i as usize))
            }
            (Root::Local(_), None) => Value::Dark,
            (Root::Global(global), _) => self.read(global, place.shape, &place.offset),
        }
    }

    fn read(&self, global: Handle<naga::GlobalVariable>, shape: Shape, offset: &Value) -> Value {
        let inner = match shape {
            Shape::Scalar(ScalarKind::Float) => return Value::Dark,
            Shape::Scalar(_) => return self.word(global, offset),
            Shape::Type(ty) => &self.module.types[ty].inner,
        };
        let at = |bytes: u32| offset.map(&|x| x.wrapping_add(bytes));
        match inner {
            TypeInner::Scalar(s) | TypeInner::Atomic(s) => self.read(global, Shape::Scalar(s.kind), offset),
            TypeInner::Vector { size, scalar } => Value::many(
                (0..*size as u32)
                    .map(|i| self.read(global, Shape::Scalar(scalar.kind), &at(i * u32::from(scalar.width)))),
            ),
            TypeInner::Struct { members, .. } => {
                Value::many(members.iter().map(|m| self.read(global, Shape::Type(m.ty), &at(m.offset))))
            }
            _ => Value::Dark,
        }
    }

    fn word(&self, global: Handle<naga::GlobalVariable>, offset: &Value) -> Value {
        let variable = &self.module.global_variables[global];
        match variable.space {
            AddressSpace::Uniform => offset.map(&|x| self.input.params.get(x as usize / 4).copied().unwrap_or(0)),
            AddressSpace::Storage { .. } => {
                let binding = variable.binding.map_or(0, |b| b.binding);
                offset.map(&|x| (self.input.data)(binding, x / 4))
            }
            AddressSpace::WorkGroup => offset.map(&|x| self.shared[&global].get(x as usize / 4).copied().unwrap_or(0)),
            AddressSpace::Private => {
                let of = |lane: usize| Some(self.private[&global][lane].get(offset.of(lane)? as usize / 4).copied());
                let list = (0..self.lanes).map(of).collect::<Option<Option<Vec<u32>>>>().flatten();
                list.map_or(Value::Dark, Value::each)
            }
            _ => Value::Dark,
        }
    }

    pub(super) fn store(&mut self, frame: &mut Frame<'a>, place: &Value, value: &Value, mask: &Mask) {
        let Value::At(place) = place else { return };
        match (place.root, &place.path) {
            (Root::Local(local), Some(path)) => {
                let old = frame.locals[local.index()].clone();
                frame.locals[local.index()] = old.with(path, value, mask);
            }
            (Root::Local(_), None) => {}
            (Root::Global(global), _) => self.write(global, place.shape, &place.offset, value, mask),
        }
    }

    fn write(
        &mut self,
        global: Handle<naga::GlobalVariable>,
        shape: Shape,
        offset: &Value,
        value: &Value,
        mask: &Mask,
    ) {
        if let (Value::Many(list), Shape::Type(ty)) = (value, shape) {
            let module = self.module;
            for (i, value) in list.iter().enumerate() {
                let (shape, bytes) = match &module.types[ty].inner {
                    TypeInner::Struct { members, .. } => (Shape::Type(members[i].ty), members[i].offset),
                    TypeInner::Vector { scalar, .. } => (Shape::Scalar(scalar.kind), i as u32 * 4),
                    _ => return,
                };
                self.write(global, shape, &offset.map(&|x| x.wrapping_add(bytes)), value, mask);
            }
            return;
        }
        for (lane, _) in mask.iter().enumerate().filter(|(_, on)| **on) {
            let (Some(value), Some(offset)) = (value.of(lane), offset.of(lane)) else { return };
            let shared = self.shared.get_mut(&global);
            let words = shared.or_else(|| self.private.get_mut(&global).map(|lanes| &mut lanes[lane]));
            if let Some(word) = words.and_then(|words| words.get_mut(offset as usize / 4)) {
                *word = value;
            }
        }
    }

    /// Additions to counters, one invocation after the other.
    pub(super) fn atomic(
        &mut self,
        place: &Value,
        function: naga::AtomicFunction,
        value: &Value,
        mask: &Mask,
    ) -> Value {
        let Value::At(Place { root: Root::Global(global), offset, .. }) = place else { return Value::Dark };
        let (naga::AtomicFunction::Add, Some(words)) = (function, self.shared.get_mut(global)) else {
            return Value::Dark;
        };
        let mut old = vec![0; mask.len()];
        for (lane, _) in mask.iter().enumerate().filter(|(_, on)| **on) {
            let (Some(value), Some(offset)) = (value.of(lane), offset.of(lane)) else { return Value::Dark };
            let word = &mut words[offset as usize / 4];
            old[lane] = *word;
            *word = word.wrapping_add(value);
        }
        Value::each(old)
    }
}
