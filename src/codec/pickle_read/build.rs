//! The part of the machine that makes nodes: values, containers that grow, calls.

use super::text;
use super::{
    FIRST_PYTHON_3_PROTOCOL, Machine, NO_ASCII, NO_UTF8, RECURSIVE, Step, UNDERFLOW, even,
};
use crate::codec::tree::{self, CallSlot, Items, Node, NodeId, Slot};

/// The longest integer, in bytes. Python turns no integer of more than 4,300 digits into text, so
/// whoever shows a longer one gets an error.
const LONGEST_INT: usize = 1785;

impl<'a> Machine<'a, '_> {
    // Containers that grow.

    /// The container below the values that start at `start`.
    fn target(&self, start: usize) -> Step<NodeId> {
        if start > self.fence { Ok(self.stack[start - 1]) } else { Err(UNDERFLOW) }
    }

    pub(super) fn append(&mut self, start: usize) -> Step {
        let target = self.target(start)?;
        match self.tree.slots[target.index()] {
            Slot::List(items) => {
                self.tree.slots[target.index()] = Slot::List(self.grown(items, start)?);
            }
            Slot::Call(index) => {
                let call = self.tree.calls[index as usize];
                let elements = self.grown(call.elements, start)?;
                self.change_call(index, elements.height, CallSlot { elements, ..call })?;
            }
            _ => return Err("only lists can be appended to"),
        }
        self.stack.truncate(start);
        Ok(())
    }

    pub(super) fn set_items(&mut self, start: usize) -> Step {
        even(self.stack.len() - start)?;
        self.hash(start, 2)?;
        let target = self.target(start)?;
        match self.tree.slots[target.index()] {
            Slot::Dict(items) => {
                self.tree.slots[target.index()] = Slot::Dict(self.grown(items, start)?);
            }
            Slot::Call(index) => {
                let call = self.tree.calls[index as usize];
                let items = self.grown(call.items, start)?;
                self.change_call(index, items.height, CallSlot { items, ..call })?;
            }
            _ => return Err("only dictionaries take items"),
        }
        self.stack.truncate(start);
        Ok(())
    }

    pub(super) fn add_items(&mut self, start: usize) -> Step {
        let target = self.target(start)?;
        let Slot::Set(items) = self.tree.slots[target.index()] else {
            return Err("only sets take elements");
        };
        self.hash(start, 1)?;
        self.tree.slots[target.index()] = Slot::Set(self.grown(items, start)?);
        self.stack.truncate(start);
        Ok(())
    }

    fn grown(&mut self, items: Items, start: usize) -> Step<Items> {
        if items.shared {
            return Err(RECURSIVE);
        }
        self.tree.extend(items, &self.stack[start..])
    }

    // Values.

    pub(super) fn text(&mut self, length: usize) -> Step {
        let text = str::from_utf8(self.take(length)?).map_err(|_| NO_UTF8)?;
        self.push(Slot::Str(text));
        Ok(())
    }

    fn push_text(&mut self, text: String) {
        let id = self.tree.push_text(text);
        self.stack.push(id);
    }

    pub(super) fn ascii(&mut self, length: usize) -> Step {
        let bytes = self.take(length)?;
        if !bytes.is_ascii() {
            return Err(NO_ASCII);
        }
        self.push(Slot::Str(str::from_utf8(bytes).map_err(|_| NO_UTF8)?));
        Ok(())
    }

    pub(super) fn string_line(&mut self) -> Step {
        let text = text::string(self.line()?)?;
        self.push_text(text);
        Ok(())
    }

    pub(super) fn unicode_line(&mut self) -> Step {
        let text = text::raw_unicode(self.line()?)?;
        self.push_text(text);
        Ok(())
    }

    pub(super) fn float_line(&mut self) -> Step {
        let value = text::float(self.line()?)?;
        self.push(Slot::Float(value));
        Ok(())
    }

    pub(super) fn int_line(&mut self) -> Step {
        match self.line()? {
            b"00" => self.stack.push(tree::FALSE),
            b"01" => self.stack.push(tree::TRUE),
            digits => self.push(Slot::Int(text::int(digits)?)),
        }
        Ok(())
    }

    pub(super) fn long_line(&mut self) -> Step {
        let line = self.line()?;
        self.push(Slot::Int(text::int(line.strip_suffix(b"L").unwrap_or(line))?));
        Ok(())
    }

    pub(super) fn index_line(&mut self) -> Step<usize> {
        usize::try_from(text::int(self.line()?)?).map_err(|_| "a memo index is out of range")
    }

    /// A little-endian two's complement integer.
    pub(super) fn long(&mut self, length: usize) -> Step {
        let mut bytes = self.take(length)?;
        while let [head @ .., before, last] = bytes {
            let fill = if before & 0x80 == 0 { 0 } else { 0xff };
            if *last != fill {
                break;
            }
            bytes = &bytes[..=head.len()];
        }
        let negative = bytes.last().is_some_and(|last| last & 0x80 != 0);
        let mut word = if negative { [0xff; 8] } else { [0; 8] };
        match word.get_mut(..bytes.len()) {
            Some(low) => {
                low.copy_from_slice(bytes);
                self.push(Slot::Int(i64::from_le_bytes(word)));
            }
            None if bytes.len() > LONGEST_INT => {
                return Err("an int has more digits than Python shows");
            }
            None => self.push(Slot::BigInt(bytes)),
        }
        Ok(())
    }

    pub(super) fn global_lines(&mut self) -> Step {
        let mut module = str::from_utf8(self.line()?).map_err(|_| NO_UTF8)?;
        let name = str::from_utf8(self.line()?).map_err(|_| NO_UTF8)?;
        if self.protocol < FIRST_PYTHON_3_PROTOCOL && module == "__builtin__" {
            module = "builtins";
        }
        let module = self.tree.push(Slot::Str(module));
        let name = self.tree.push(Slot::Str(name));
        self.push(Slot::Global { module, name });
        Ok(())
    }

    pub(super) fn stack_global(&mut self) -> Step {
        let name = self.pop()?;
        let module = self.pop()?;
        for id in [module, name] {
            if !matches!(self.tree.slots[id.index()], Slot::Str(_) | Slot::OwnedStr(_)) {
                return Err("a name is no text");
            }
        }
        self.push(Slot::Global { module, name });
        Ok(())
    }

    pub(super) fn call(
        &mut self,
        callable: NodeId,
        args: NodeId,
        kwargs: Option<NodeId>,
        new: bool,
    ) -> Step {
        if !matches!(self.tree.slots[args.index()], Slot::Tuple(_)) {
            return Err("the arguments of a call are no tuple");
        }
        if kwargs.is_some_and(|id| !matches!(self.tree.slots[id.index()], Slot::Dict(_))) {
            return Err("the keyword arguments of a call are no dictionary");
        }
        let mut size = self.copy(args)?;
        if let Some(kwargs) = kwargs {
            size = size.saturating_add(self.copy(kwargs)?);
        }
        if let Some(slot) = self.plain_value(callable, args).filter(|_| !new) {
            self.push(slot);
            return Ok(());
        }
        let height = self.tree.height_above(&[callable, args, kwargs.unwrap_or(tree::NONE)])?;
        let id = self.tree.push_call(CallSlot {
            callable,
            args,
            kwargs,
            new,
            state: None,
            items: Items::default(),
            elements: Items::default(),
            size,
            height,
            shared: false,
        });
        self.stack.push(id);
        Ok(())
    }

    /// The plain value that a call stands for: older protocols have no opcodes for `bytes`,
    /// `bytearray`, `set` and `frozenset`.
    fn plain_value(&mut self, callable: NodeId, args: NodeId) -> Option<Slot<'a>> {
        let Node::Global { module: module @ ("builtins" | "_codecs"), name } =
            self.tree.node(callable)
        else {
            return None;
        };
        let Slot::Tuple(args) = self.tree.slots[args.index()] else { return None };
        match (module, name, self.tree.items(args)) {
            ("_codecs", "encode", &[text, encoding]) => {
                Some(Slot::OwnedBytes(self.latin_1(text, encoding)?))
            }
            ("builtins", "bytes", []) => Some(Slot::Bytes(&[])),
            ("builtins", "bytearray", []) => Some(Slot::ByteArray(&[])),
            ("builtins", "bytearray", &[bytes]) => match self.tree.slots[bytes.index()] {
                Slot::Bytes(bytes) => Some(Slot::ByteArray(bytes)),
                Slot::OwnedBytes(index) => Some(Slot::OwnedByteArray(index)),
                _ => None,
            },
            ("builtins", "bytearray", &[text, encoding]) => {
                Some(Slot::OwnedByteArray(self.latin_1(text, encoding)?))
            }
            ("builtins", "set", []) => Some(Slot::Set(Items::empty())),
            ("builtins", "frozenset", []) => Some(Slot::FrozenSet(Items::empty())),
            ("builtins", kind @ ("set" | "frozenset"), &[list]) => {
                let Slot::List(items) = self.tree.slots[list.index()] else { return None };
                let items = items.frozen();
                Some(if kind == "set" { Slot::Set(items) } else { Slot::FrozenSet(items) })
            }
            _ => None,
        }
    }

    /// Keeps the Latin-1 bytes of a text.
    fn latin_1(&mut self, text: NodeId, encoding: NodeId) -> Option<u32> {
        let (Node::Str(text), Node::Str("latin1" | "latin-1")) =
            (self.tree.node(text), self.tree.node(encoding))
        else {
            return None;
        };
        let bytes = text.chars().map(|c| u8::try_from(c).ok()).collect::<Option<Vec<u8>>>()?;
        Some(self.tree.keep_bytes(bytes))
    }

    pub(super) fn build(&mut self) -> Step {
        let state = self.pop()?;
        self.copy(state)?;
        let Slot::Call(index) = self.tree.slots[self.top()?.index()] else {
            return Err("only a called object can take a state");
        };
        let call = self.tree.calls[index as usize];
        if call.state.is_some() {
            return Err("an object takes two states");
        }
        let height = self.tree.height_above(&[state])?;
        self.change_call(index, height, CallSlot { state: Some(state), ..call })
    }

    fn change_call(&mut self, index: u32, height: u8, changed: CallSlot) -> Step {
        let call = &mut self.tree.calls[index as usize];
        if call.shared {
            return Err(RECURSIVE);
        }
        *call = CallSlot { height: call.height.max(height), ..changed };
        Ok(())
    }
}
