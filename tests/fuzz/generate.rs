//! Makes pickles that are nearly right: every value in each of the ways that it can be written,
//! with noise in between.

use super::random::Random;

/// Functions and classes by module and name, and the opcodes of arguments that suit them.
const CALLS: &[(&str, &str, &[u8])] = &[
    ("datetime", "datetime", b"C\x0a\x07\xe8\x02\x1d\x0c\x1e\x0f\x01\xe2@\x85"),
    ("datetime", "timedelta", b"K\0M\x10\x0eK\0\x87"),
    ("datetime", "date", b"C\x04\x07\xe8\x02\x1d\x85"),
    ("decimal", "Decimal", b"\x8c\x0412.5\x85"),
    ("builtins", "complex", b"G?\xf0\0\0\0\0\0\0G?\xf0\0\0\0\0\0\0\x86"),
    ("builtins", "range", b"K\0K\x05K\x01\x87"),
    ("builtins", "slice", b"K\0NN\x87"),
    ("builtins", "set", b"](K\x01K\x02e\x85"),
    ("builtins", "frozenset", b"]N\x61\x85"),
    ("builtins", "bytearray", b"C\x02ab\x85"),
    ("builtins", "bytes", b")"),
    ("_codecs", "encode", b"X\x02\0\0\0\xc3\xbfX\x06\0\0\0latin1\x86"),
    ("collections", "OrderedDict", b")"),
    ("uuid", "UUID", b")"),
    ("uuid", "SafeUUID", b"N\x85"),
    ("zoneinfo", "ZoneInfo", b"\x8c\x03UTC\x85"),
    ("pendulum.tz.timezone", "Timezone", b"\x8c\x03UTC\x85"),
    ("pendulum.tz.timezone", "FixedTimezone", b"M\x10\x0eN\x86"),
    ("pendulum.duration", "Duration", b"K\x01K\x02K\x03\x87"),
    ("pendulum.datetime", "DateTime", b"(M\xe8\x07K\x02K\x1dK\x0cK\x1eK\x0fK\0Nt"),
    ("pydantic_extra_types.pendulum_dt", "DateTime", b"(M\xe8\x07K\x02K\x1dK\x0cK\x1eK\x0fK\0Nt"),
    ("pydantic_core._pydantic_core", "TzInfo", b"M\x10\x0e\x85"),
    ("os", "system", b"\x8c\x01a\x85"),
    ("copy_reg", "_reconstructor", b"N\x85"),
];

const NUMPY: &[u8] =
    b"cnumpy._core.multiarray\nscalar\ncnumpy\ndtype\n\x8c\x02f8\x89\x88\x87R(K\x03\x8c\x01<\
    NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tbC\x08\0\0\0\0\0\0\xf8?\x86R";

const NAMES: [&str; 8] =
    ["date_time", "configured_data", "load0_emr", "load1_emr", "grid_emr", "pv_power", "x", "y"];

/// A pickle under way.
struct Pickle<'r> {
    out: Vec<u8>,
    random: &'r mut Random,
    /// How many values the memo holds.
    memo: usize,
    /// How many more values may be written.
    room: usize,
}

/// A pickle of any value.
pub fn pickle(random: &mut Random) -> Vec<u8> {
    written(random, |pickle| {
        let depth = pickle.random.within(1..8);
        pickle.value(depth);
    })
}

/// A pickle of a record.
pub fn record(random: &mut Random) -> Vec<u8> {
    written(random, |pickle| {
        pickle.record();
    })
}

/// A pickle of metadata.
pub fn metadata(random: &mut Random) -> Vec<u8> {
    written(random, |pickle| {
        let count = pickle.random.small(9);
        pickle.dict(count, |pickle, _| pickle.text(), Pickle::scalar);
    })
}

/// Opcodes in any order: hardly any of these are pickles.
pub fn opcodes(random: &mut Random) -> Vec<u8> {
    written(random, |pickle| {
        for _ in 0..pickle.random.small(40) {
            match pickle.random.below(4) {
                0 => pickle.scalar(),
                1 => pickle.reference(),
                2 => pickle.noise(),
                _ => {
                    let opcode = *pickle
                        .random
                        .one(b"(012aebdeltu})]sR\x81\x85\x86\x87\x8f\x90\x91\x92\x93\x94");
                    pickle.out.push(opcode);
                }
            }
        }
    })
}

/// A pickle that uses a few values over and over: what is cheap to write may be dear to read.
pub fn repetition(random: &mut Random) -> Vec<u8> {
    written(random, |pickle| {
        let size = pickle.random.within(1..1500);
        let (module, name, _) = *pickle.random.one(CALLS);
        let (module, name, form) = match pickle.random.below(4) {
            // Text by text, what it stands for.
            0 => ("_codecs", "encode", 0),
            _ => (module, name, pickle.random.below(4)),
        };
        pickle.add(format!("c{module}\n{name}\nq\0").as_bytes());
        match form {
            0 => pickle.add(&[b"X", &size.to_le_bytes()[..4], &b"1".repeat(size)].concat()),
            1 => pickle.add(&[&b"B"[..], &size.to_le_bytes()[..4], &vec![7; size]].concat()),
            2 => pickle.add(&[&b"]("[..], &b"N".repeat(size), b"e"].concat()),
            _ => pickle.add(&[&b"("[..], &b"N".repeat(size), b"t"].concat()),
        }
        pickle.add(b"q\x01X\x06\0\0\0latin1q\x02]q\x03(N");
        let mut snippet = Vec::new();
        for _ in 0..pickle.random.within(1..3) {
            snippet.extend(*pickle.random.one(&[
                &b"h\0h\x01\x85R"[..],
                b"h\0h\x01h\x02\x86R",
                b"h\0h\x01h\x02\x86R0",
                b"h\0)Rh\x01b",
                b"h\0)\x81",
                b"](h\x01e",
                b"]h\x01a",
                b"\x8f(h\x01\x90",
                b"}h\x01Ns",
                b"2\x85",
                b"2\x86",
                b"\x85",
                b"N",
                b"V\n",
            ]));
        }
        if pickle.random.once_in(2) {
            snippet.push(b'0');
        }
        let times = 1 + pickle.random.small(1500);
        pickle.add(&snippet.repeat(times));
        pickle.add(b"t");
    })
}

fn written(random: &mut Random, write: impl FnOnce(&mut Pickle<'_>)) -> Vec<u8> {
    let mut pickle = Pickle { out: Vec::new(), memo: 0, room: 60, random };
    if !pickle.random.once_in(8) {
        let protocol = *pickle.random.one(&[0, 1, 2, 3, 4, 4, 5, 5]);
        pickle.out.extend([0x80, protocol]);
    }
    write(&mut pickle);
    pickle.out.push(b'.');
    pickle.out
}

impl Pickle<'_> {
    fn add(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// A value, in whose containers others lie down to `depth`.
    fn value(&mut self, depth: usize) {
        self.room = self.room.saturating_sub(1);
        if depth == 0 || self.room == 0 {
            return self.scalar();
        }
        match self.random.below(16) {
            0..=3 => self.scalar(),
            4 => self.bytes(),
            5 => self.reference(),
            6 | 7 => self.list(depth),
            8 => self.tuple(depth),
            9 | 10 => {
                let count = self.random.small(5);
                let key = |pickle: &mut Self, _| match pickle.random.below(6) {
                    0 => pickle.value(depth - 1),
                    1 => pickle.scalar(),
                    _ => pickle.text(),
                };
                self.dict(count, key, |pickle| pickle.value(depth - 1));
            }
            11 => self.set(depth),
            12 | 13 => self.call(depth),
            14 => self.add(NUMPY),
            _ => {
                self.value(depth - 1);
                self.add(b"2\x86");
            }
        }
        self.after();
    }

    /// What may follow a value: it is remembered, or something pointless is done.
    fn after(&mut self) {
        match self.random.below(8) {
            0 | 1 => {
                self.out.push(0x94);
                self.memo += 1;
            }
            2 => {
                let index = self.memo.to_le_bytes();
                match self.random.below(3) {
                    0 => self.add(&[b'q', index[0]]),
                    1 => self.add(&[b'r', index[0], index[1], 0, 0]),
                    _ => self.add(format!("p{}\n", self.memo).as_bytes()),
                }
                self.memo += 1;
            }
            3 if self.random.once_in(4) => self.noise(),
            _ => {}
        }
    }

    fn noise(&mut self) {
        match self.random.below(8) {
            0 => self.add(b"N0"),
            1 => self.add(b"(NN1"),
            2 => self.add(b"20"),
            3 => self.add(b"(0"),
            4 => self.add(b"\x80\x02"),
            5 => self.add(b"\x95\x01\0\0\0\0\0\0\0"),
            6 => self.add(b"(e"),
            _ => {
                let byte = self.random.byte();
                self.out.push(byte);
            }
        }
    }

    fn reference(&mut self) {
        if self.memo == 0 {
            return self.scalar();
        }
        let index = self.random.below(self.memo);
        let bytes = index.to_le_bytes();
        match self.random.below(3) {
            0 => self.add(&[b'h', bytes[0]]),
            1 => self.add(&[b'j', bytes[0], bytes[1], 0, 0]),
            _ => self.add(format!("g{index}\n").as_bytes()),
        }
    }

    fn scalar(&mut self) {
        match self.random.below(8) {
            0 => self.add(b"N"),
            1 => {
                let bool = *self.random.one(&[&b"\x88"[..], b"\x89", b"I01\n", b"I00\n"]);
                self.add(bool);
            }
            2 | 3 => self.int(),
            4 | 5 => self.float(),
            _ => self.text(),
        }
    }

    fn int(&mut self) {
        let number = self.random.next() >> self.random.below(64);
        let bytes = number.to_le_bytes();
        match self.random.below(8) {
            0 | 1 => self.add(&[b'K', bytes[0]]),
            2 => self.add(&[b'M', bytes[0], bytes[1]]),
            3 => self.add(&[&b"J"[..], &bytes[..4]].concat()),
            4 => {
                let width = self.random.below(9);
                self.add(&[0x8a, width.to_le_bytes()[0]]);
                self.add(&bytes[..width]);
            }
            5 => {
                let wide = bytes.repeat(self.random.within(1..4));
                let width = u32::try_from(wide.len()).unwrap_or(0).to_le_bytes();
                self.add(&[&[0x8b], &width[..], &wide].concat());
            }
            6 => self.add(format!("I{}\n", number.cast_signed()).as_bytes()),
            _ => self.add(format!("L{}L\n", number.cast_signed()).as_bytes()),
        }
    }

    fn float(&mut self) {
        let number = match self.random.below(4) {
            0 => f64::from_bits(self.random.next()),
            1 => *self.random.one(&[0.0, -0.0, f64::INFINITY, f64::NAN, f64::MIN_POSITIVE]),
            _ => f64::from(u32::try_from(self.random.below(100_000)).unwrap_or(0)) / 8.0,
        };
        if self.random.once_in(6) {
            self.add(format!("F{number:?}\n").as_bytes());
        } else {
            self.add(&[&b"G"[..], &number.to_be_bytes()].concat());
        }
    }

    fn text(&mut self) {
        let text = match self.random.below(4) {
            0 => (*self.random.one(&["", "a", "ä", "€", "𝛑", "UTC", "latin1", "_unpickle"])).into(),
            1 => "z".repeat(self.random.small(300)),
            _ => (*self.random.one(&NAMES)).to_owned(),
        };
        self.write_text(&text);
    }

    fn write_text(&mut self, text: &str) {
        let length = text.len().to_le_bytes();
        match self.random.below(10) {
            0 => self.add(&[b"X", &length[..4], text.as_bytes()].concat()),
            1 => self.add(&[b"\x8d", &length[..], text.as_bytes()].concat()),
            2 => self.add(format!("V{text}\n").as_bytes()),
            3 => self.add(format!("S'{text}'\n").as_bytes()),
            4 => self.add(&[b"U", &length[..1], &text.as_bytes()[..text.len().min(255)]].concat()),
            _ if text.len() < 256 => {
                self.add(&[b"\x8c", &length[..1], text.as_bytes()].concat());
            }
            _ => self.add(&[b"X", &length[..4], text.as_bytes()].concat()),
        }
    }

    fn bytes(&mut self) {
        let bytes: Vec<u8> = (0..self.random.small(12)).map(|_| self.random.byte()).collect();
        let length = bytes.len().to_le_bytes();
        match self.random.below(4) {
            0 => self.add(&[b"C", &length[..1], &bytes].concat()),
            1 => self.add(&[b"B", &length[..4], &bytes].concat()),
            2 => self.add(&[b"\x8e", &length[..], &bytes].concat()),
            _ => self.add(&[b"\x96", &length[..], &bytes].concat()),
        }
    }

    fn values(&mut self, count: usize, depth: usize) {
        for _ in 0..count {
            self.value(depth - 1);
        }
    }

    fn list(&mut self, depth: usize) {
        let count = self.random.small(6);
        match self.random.below(3) {
            0 => {
                self.add(b"(");
                self.values(count, depth);
                self.add(b"l");
            }
            1 => {
                self.add(b"]");
                for _ in 0..count {
                    self.value(depth - 1);
                    self.add(b"a");
                }
            }
            _ => {
                self.add(b"](");
                self.values(count, depth);
                self.add(b"e");
            }
        }
    }

    fn tuple(&mut self, depth: usize) {
        let count = self.random.small(5);
        match count {
            0 => self.add(b")"),
            1..=3 if !self.random.once_in(3) => {
                self.values(count, depth);
                self.out.push([0x85, 0x86, 0x87][count - 1]);
            }
            _ => {
                self.add(b"(");
                self.values(count, depth);
                self.add(b"t");
            }
        }
    }

    fn set(&mut self, depth: usize) {
        let count = self.random.small(5);
        let (begin, end) = *self.random.one(&[(&b"\x8f("[..], b"\x90"), (b"(", b"\x91")]);
        self.add(begin);
        self.values(count, depth);
        self.add(end);
    }

    fn dict(
        &mut self,
        count: usize,
        mut key: impl FnMut(&mut Self, usize),
        mut value: impl FnMut(&mut Self),
    ) {
        let form = self.random.below(3);
        self.add([&b"("[..], b"}", b"}("][form]);
        for at in 0..count {
            key(self, at);
            value(self);
            if form == 1 {
                self.add(b"s");
            }
        }
        self.add([&b"d"[..], b"", b"u"][form]);
    }

    fn global(&mut self, module: &str, name: &str) {
        if self.random.once_in(2) {
            self.add(format!("c{module}\n{name}\n").as_bytes());
        } else {
            self.write_text(module);
            self.write_text(name);
            self.add(b"\x93");
        }
    }

    fn call(&mut self, depth: usize) {
        let (module, name, arguments) = *self.random.one(CALLS);
        self.global(module, name);
        if self.random.once_in(12) {
            return;
        }
        if self.random.once_in(6) {
            self.tuple(depth);
        } else {
            self.add(arguments);
        }
        let call = *self.random.one(&[b'R', b'R', b'R', 0x81]);
        self.out.push(call);
        match self.random.below(12) {
            0 => {
                let count = self.random.small(3);
                self.dict(count, |pickle, _| pickle.text(), |pickle| pickle.value(depth - 1));
                self.add(b"b");
            }
            1 => {
                self.text();
                self.value(depth - 1);
                self.add(b"s");
            }
            2 => {
                self.value(depth - 1);
                self.add(b"a");
            }
            _ => {}
        }
    }

    fn time(&mut self) {
        let module = *self.random.one(&["pydantic_extra_types.pendulum_dt", "pendulum.datetime"]);
        self.global(module, "DateTime");
        self.add(b"(");
        for (least, most) in [(1, 2500), (1, 13), (1, 30), (0, 24), (0, 60), (0, 60), (0, 70_000)] {
            let number = self.random.within(least..most).to_le_bytes();
            match self.random.below(3) {
                0 if number[1..3] == [0, 0] => self.add(&[b'K', number[0]]),
                1 if number[2] == 0 => self.add(&[b'M', number[0], number[1]]),
                _ => self.add(&[&b"J"[..], &number[..4]].concat()),
            }
        }
        match self.random.below(4) {
            0 => {
                // The offset may be another number of the record, too.
                self.add(b"cpendulum.tz.timezone\nFixedTimezone\nM\x10\x0e");
                self.after();
                self.add(b"\x8c\x06+01:00\x86R");
            }
            1 => self.add(b"N"),
            _ => self.add(
                b"cbuiltins\ngetattr\ncpendulum.tz.timezone\nTimezone\n\x8c\x09_unpickle\x86R\
                  \x8c\x0dEurope/BerlinK\x01\x86R",
            ),
        }
        self.add(b"tR");
    }

    fn record(&mut self) {
        self.add(b"}(");
        for name in &NAMES[..6] {
            if !self.random.once_in(30) {
                self.write_text(name);
                match *name {
                    "date_time" => self.time(),
                    "configured_data" => {
                        let count = self.random.small(4);
                        let key = |pickle: &mut Self, at: usize| {
                            pickle.write_text(["x", "y", "other"][at % 3]);
                        };
                        let value = |pickle: &mut Self| match pickle.random.below(8) {
                            0 => pickle.add(NUMPY),
                            1 => pickle.value(2),
                            _ => pickle.scalar(),
                        };
                        self.dict(count, key, value);
                    }
                    _ if self.random.once_in(20) => self.value(2),
                    _ if self.random.once_in(8) => self.reference(),
                    _ => self.scalar(),
                }
                self.after();
            }
        }
        self.add(b"u");
    }
}
