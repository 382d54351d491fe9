//! The `NumPy` scalars that a pickle can hold, recognised without calling anything.

use super::tree::{Node, NodeId, Tree};

/// A `NumPy` scalar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NumpyScalar {
    /// `numpy.bool_`.
    Bool(bool),
    /// `numpy.int8`.
    I8(i8),
    /// `numpy.int16`.
    I16(i16),
    /// `numpy.int32`.
    I32(i32),
    /// `numpy.int64`.
    I64(i64),
    /// `numpy.uint8`.
    U8(u8),
    /// `numpy.uint16`.
    U16(u16),
    /// `numpy.uint32`.
    U32(u32),
    /// `numpy.uint64`.
    U64(u64),
    /// `numpy.float16`, as its bits.
    F16(u16),
    /// `numpy.float32`.
    F32(f32),
    /// `numpy.float64`.
    F64(f64),
}

impl NumpyScalar {
    /// The nearest `float`.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "as Python's float() of a large integer")]
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Bool(value) => f64::from(u8::from(value)),
            Self::I8(value) => value.into(),
            Self::I16(value) => value.into(),
            Self::I32(value) => value.into(),
            Self::I64(value) => value as f64,
            Self::U8(value) => value.into(),
            Self::U16(value) => value.into(),
            Self::U32(value) => value.into(),
            Self::U64(value) => value as f64,
            Self::F16(bits) => half(bits),
            Self::F32(value) => value.into(),
            Self::F64(value) => value,
        }
    }
}

/// An IEEE half precision number: 1 sign bit, 5 of the exponent, 10 of the fraction.
fn half(bits: u16) -> f64 {
    let fraction = f64::from(bits & 0x3ff);
    let magnitude = match (bits >> 10) & 0x1f {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        exponent => (1.0 + fraction / 1024.0) * 2f64.powi(i32::from(exponent) - 15),
    };
    if bits & 0x8000 == 0 { magnitude } else { -magnitude }
}

/// The codes of the types that a scalar can have.
const CODES: [&str; 12] = ["b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"];

/// The `dtype` of a scalar: its code and whether its bytes are big-endian.
pub(super) struct Dtype<'t> {
    code: &'t str,
    big_endian: bool,
}

impl Tree<'_> {
    /// The `NumPy` scalar that a node describes, if it is a number or boolean in the form that
    /// `NumPy` 1 and 2 write.
    #[must_use]
    pub fn numpy_scalar(&self, id: NodeId) -> Option<NumpyScalar> {
        let call = self.plain_call(id)?;
        let Node::Global {
            module: "numpy._core.multiarray" | "numpy.core.multiarray",
            name: "scalar",
        } = self.node(call.callable)
        else {
            return None;
        };
        let (Node::Tuple(&[dtype, data]), None) = (self.node(call.args), call.state) else {
            return None;
        };
        let Node::Bytes(data) = self.node(data) else { return None };
        let Dtype { code, big_endian } = self.numpy_dtype(dtype)?;
        let mut word = [0; 8];
        let low = word.get_mut(..data.len())?;
        low.copy_from_slice(data);
        if big_endian {
            low.reverse();
        }
        let [b0, b1, b2, b3, ..] = word;
        Some(match (code, data.len()) {
            ("b1", 1) => NumpyScalar::Bool(b0 != 0),
            ("i1", 1) => NumpyScalar::I8(i8::from_le_bytes([b0])),
            ("i2", 2) => NumpyScalar::I16(i16::from_le_bytes([b0, b1])),
            ("i4", 4) => NumpyScalar::I32(i32::from_le_bytes([b0, b1, b2, b3])),
            ("i8", 8) => NumpyScalar::I64(i64::from_le_bytes(word)),
            ("u1", 1) => NumpyScalar::U8(b0),
            ("u2", 2) => NumpyScalar::U16(u16::from_le_bytes([b0, b1])),
            ("u4", 4) => NumpyScalar::U32(u32::from_le_bytes([b0, b1, b2, b3])),
            ("u8", 8) => NumpyScalar::U64(u64::from_le_bytes(word)),
            ("f2", 2) => NumpyScalar::F16(u16::from_le_bytes([b0, b1])),
            ("f4", 4) => NumpyScalar::F32(f32::from_le_bytes([b0, b1, b2, b3])),
            ("f8", 8) => NumpyScalar::F64(f64::from_le_bytes(word)),
            _ => return None,
        })
    }

    /// The `dtype` that a node describes, if it is that of a number or boolean: a `dtype` takes its
    /// state unchecked, so no other may be built. One of texts, for instance, would take -1 for its
    /// size.
    pub(super) fn numpy_dtype(&self, id: NodeId) -> Option<Dtype<'_>> {
        let call = self.plain_call(id)?;
        let Node::Global { module: "numpy", name: "dtype" } = self.node(call.callable) else {
            return None;
        };
        let Node::Tuple(&[code, _align, _copy]) = self.node(call.args) else { return None };
        let Node::Str(code) = self.node(code) else { return None };
        if !CODES.contains(&code) {
            return None;
        }
        let Node::Tuple(state) = self.node(call.state?) else { return None };
        let &[version, order, subtype, names, fields, size, alignment, flags] = state else {
            return None;
        };
        let plain = matches!(self.node(version), Node::Int(3))
            && [subtype, names, fields].iter().all(|&id| matches!(self.node(id), Node::None))
            && [size, alignment].iter().all(|&id| matches!(self.node(id), Node::Int(-1)))
            && matches!(self.node(flags), Node::Int(0));
        let Node::Str(order @ ("<" | ">" | "|" | "=")) = self.node(order) else { return None };
        let native_big = cfg!(target_endian = "big");
        plain.then_some(Dtype { code, big_endian: order == ">" || (order == "=" && native_big) })
    }
}
