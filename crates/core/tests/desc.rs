//! Layouts: views must address exactly the elements that the same view of a real array would.

use unisono_core::{DType, MAX_RANK, TensorDesc};

/// Every addressed element in row-major order.
fn addresses(d: &TensorDesc) -> Vec<usize> {
    let mut out = Vec::new();
    for mut i in 0..d.elements() {
        let mut at = 0;
        for axis in (0..d.rank()).rev() {
            at += i % d.shape[axis] * d.strides[axis];
            i /= d.shape[axis];
        }
        out.push(at);
    }
    out
}

fn f32(shape: &[usize]) -> TensorDesc {
    TensorDesc::contiguous(DType::F32, shape).unwrap()
}

#[test]
fn reshape_keeps_the_order_of_elements_or_refuses() {
    let views = [
        f32(&[2, 3, 4]),
        f32(&[2, 3, 4]).transposed(0, 2).unwrap(),
        f32(&[4, 6]).transposed(0, 1).unwrap(),
        f32(&[1, 6]).broadcast_to(&[4, 6]).unwrap(),
        f32(&[2, 1, 3, 4]).permuted(&[2, 1, 0, 3]).unwrap(),
        TensorDesc::strided(DType::F32, &[2, 3, 4], &[24, 8, 2]).unwrap(),
        TensorDesc::strided(DType::F32, &[2, 3, 4], &[100, 8, 2]).unwrap(),
    ];
    let shapes: [&[usize]; 9] =
        [&[24], &[2, 12], &[6, 4], &[4, 6], &[3, 8], &[1, 24, 1], &[2, 3, 2, 2], &[3, 2, 4], &[1, 2, 1, 3, 1, 4]];
    let mut expressed = 0;
    for view in views {
        for shape in shapes {
            if let Some(reshaped) = view.reshaped(shape).unwrap() {
                assert_eq!(*reshaped.shape, *shape);
                assert_eq!(addresses(&reshaped), addresses(&view), "{view} as {shape:?}");
                expressed += 1;
            } else {
                assert!(!view.is_contiguous(), "{view} as {shape:?} is expressible");
            }
        }
        let same = view.reshaped(&view.shape).unwrap().expect("its own shape is always expressible");
        assert_eq!(addresses(&same), addresses(&view));
    }
    assert!(expressed > 20, "only {expressed} were expressible");
    assert!(f32(&[2, 3]).reshaped(&[5]).is_err());
    assert_eq!(f32(&[0, 3]).reshaped(&[3, 0, 2]).unwrap().unwrap().elements(), 0);
}

#[test]
fn span_covers_the_last_addressed_element() {
    let d = TensorDesc::strided(DType::F16, &[3, 5], &[7, 1]).unwrap();
    assert_eq!(d.span(), *addresses(&d).iter().max().unwrap() + 1);
    assert_eq!(d.span_bytes(), 2 * d.span() as u64);
    assert_eq!(f32(&[4, 0]).span_bytes(), 0);
    assert_eq!(f32(&[]).span(), 1);
}

#[test]
fn self_overlap_is_seen() {
    assert!(f32(&[1, 3]).broadcast_to(&[2, 3]).unwrap().may_self_overlap());
    assert!(TensorDesc::strided(DType::F32, &[3, 3], &[2, 1]).unwrap().may_self_overlap());
    assert!(!f32(&[4, 3]).transposed(0, 1).unwrap().may_self_overlap());
    assert!(!TensorDesc::strided(DType::F32, &[3, 3], &[8, 2]).unwrap().may_self_overlap());
}

#[test]
fn absurd_sizes_are_errors() {
    assert!(TensorDesc::contiguous(DType::F32, &[usize::MAX, 2]).is_err());
    assert!(TensorDesc::contiguous(DType::F32, &[isize::MAX as usize / 2]).is_ok());
    assert!(TensorDesc::contiguous(DType::F32, &[1; MAX_RANK + 1]).is_err());
    assert!(TensorDesc::strided(DType::F32, &[2, 2], &[usize::MAX, 1]).is_err());
    assert!(TensorDesc::strided(DType::F32, &[2, 2], &[1]).is_err());
    assert!(f32(&[3, 4]).broadcast_to(&[3, 5]).is_err());
    assert!(f32(&[3, 4]).permuted(&[0, 0]).is_err());
    assert!(f32(&[3, 4]).split_axis(1, 3).is_err());
}
