//! Bytes that nobody's pickler wrote: they are refused, nothing is executed, nothing panics, and
//! memory stays in proportion.

use std::sync::LazyLock;

use eosdb::Error;
use eosdb::codec::{MAX_DEPTH, Node, NodeId, Reader, Tree, metadata, read, safe_globals};
use proptest::prelude::*;

use super::{all_golden, golden};

#[track_caller]
fn refusal(pickle: &[u8]) -> String {
    match read(pickle) {
        Err(Error::Decode(cause)) => cause,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn unsafe_name(pickle: &[u8]) -> String {
    match safe_globals::check(&read(pickle).unwrap()) {
        Err(Error::Decode(cause)) => cause,
        other => panic!("{other:?}"),
    }
}

#[test]
fn commands_are_refused_by_name() {
    for name in ["os_system", "os_system_p0", "metadata_command"] {
        let cause = unsafe_name(&golden(name));
        assert!(cause.contains("posix.system"), "{cause}");
        assert!(cause.contains("nothing of it was executed"), "{cause}");
        assert!(cause.contains(r#"allow("posix", "system")"#), "{cause}");
    }
    assert!(unsafe_name(&golden("getattr_other")).contains("pathlib.Path"));
    assert!(unsafe_name(&golden("getattr_bare")).contains("builtins.getattr"));
    assert!(unsafe_name(&golden("numpy_object")).contains("_reconstruct"));
}

#[test]
fn ways_around_the_names_are_refused() {
    let attempts: [(&str, &[u8]); 16] = [
        ("getattr as the root", b"\x80\x04cbuiltins\ngetattr\n."),
        ("getattr as a state", b"\x80\x04cuuid\nUUID\n)\x81cbuiltins\ngetattr\nb."),
        ("a dunder", b"\x80\x04cbuiltins\ngetattr\ncpendulum.tz.timezone\nTimezone\nX\x08\0\0\0__dict__\x86R."),
        ("another class", b"\x80\x04cbuiltins\ngetattr\ncdatetime\ndatetime\nX\x09\0\0\0_unpickle\x86R."),
        ("getattr with a state", b"\x80\x04cbuiltins\ngetattr\ncpendulum.tz.timezone\nTimezone\nX\x09\0\0\0_unpickle\x86R}b)R."),
        ("a call of a call", b"\x80\x04cdecimal\nDecimal\n)R)R."),
        ("a call of text", b"\x80\x04X\x01\0\0\0a)R."),
        ("a dotted name", b"\x80\x04X\x08\0\0\0builtinsX\x0e\0\0\0range.__init__\x93."),
        ("eval", b"\x80\x02c__builtin__\neval\nX\x01\0\0\0a\x85R."),
        ("a large bytearray", b"\x80\x04cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R."),
        ("a large set", b"\x80\x04cbuiltins\nset\ncbuiltins\nrange\nJ\xff\xff\xff\x7f\x85R\x85R."),
        ("a state of a shared zone", b"\x80\x04cpendulum.tz.timezone\nTimezone\nX\x03\0\0\0UTC\x85R}b."),
        ("a dtype of texts", b"\x80\x04cnumpy\ndtype\nX\x02\0\0\0S8\x89\x88\x87R(K\x03X\x01\0\0\0|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb."),
        ("a dtype of instants", b"\x80\x04cnumpy\ndtype\nX\x05\0\0\0M8[s]\x89\x88\x87R(K\x03X\x01\0\0\0|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb."),
        ("a dtype of objects", b"\x80\x04cnumpy\ndtype\nX\x02\0\0\0O8\x89\x88\x87R."),
        ("an old instance", b"\x80\x02ccopy_reg\n_reconstructor\ncposix\nsystem\n\x85R."),
    ];
    for (what, pickle) in attempts {
        let tree = read(pickle).unwrap_or_else(|error| panic!("{what}: {error}"));
        let refused = safe_globals::check(&tree);
        assert!(matches!(refused, Err(Error::Decode(_))), "{what}: {refused:?}");
    }
}

#[test]
fn an_application_registers_its_types() {
    let pickle = b"\x80\x04cmy.home\nMode\nK\x01\x85R.";
    assert!(!safe_globals::is_safe("my.home", "Mode"));
    assert!(unsafe_name(pickle).contains("my.home.Mode"));
    safe_globals::allow("my.home", "Mode");
    assert!(safe_globals::is_safe("my.home", "Mode"));
    assert!(!safe_globals::is_safe("my.home", "Other"));
    assert!(!safe_globals::is_safe("my", "Mode"));
    safe_globals::check(&read(pickle).unwrap()).unwrap();
}

#[test]
fn what_reaches_outside_of_the_pickle_is_refused() {
    for (pickle, cause) in [
        (&b"\x80\x02Pname\n."[..], "persistent"),
        (b"\x80\x02NQ.", "persistent"),
        (b"\x80\x02\x82\x01.", "extension"),
        (b"\x80\x02\x83\x01\0.", "extension"),
        (b"\x80\x02\x84\x01\0\0\0.", "extension"),
        (b"(iposix\nsystem\n.", "old-style"),
        (b"(o.", "old-style"),
        (b"\x80\x05\x97.", "out-of-band"),
        (b"\x80\x06N.", "newer"),
        (b"\x80\x02\xff.", "no opcode"),
    ] {
        let text = refusal(pickle);
        assert!(text.contains(cause), "{text}");
    }
}

#[test]
fn lengths_and_indices_beyond_the_pickle_are_refused() {
    for pickle in [
        &b"\x80\x02Nr\xff\xff\xff\xff."[..],
        b"Np4294967295\n.",
        b"Np-1\n.",
        b"\x80\x02h\x00.",
        b"\x80\x02j\xff\xff\xff\xff.",
        b"X\xff\xff\xff\xffabc.",
        b"T\xff\xff\xff\xffabc.",
        b"\x8b\xff\xff\xff\xffabc.",
        b"\x8b\x00\x00\x00\x7fabc.",
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\xffabc.",
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7fabc.",
        b"\x96\x00\x00\x00\x00\x01\x00\x00\x00abc.",
        b"\x80\x04\x95\xff\x00\x00\x00\x00\x00\x00\x00N.",
    ] {
        let text = refusal(pickle);
        assert!(text.contains("byte"), "{text}");
    }
}

#[test]
fn the_stack_has_a_floor() {
    for pickle in [
        &b"."[..],
        b"(.",
        b"0.",
        b"1.",
        b"2.",
        b"e.",
        b"]a.",
        b"](Na.",
        b"N}s.",
        b"}N(u.",
        b"(Nd.",
        b"}(Nu.",
        b"t.",
        b"\x85.",
        b"(\x85.",
        b"\x81.",
        b"b.",
        b"Nb.",
        b"]}b.",
        b"\x94.",
        b"(Ne.",
        b"}(Ne.",
        b"](\x90.",
        b"NR.",
        b"N]R.",
        b"N)N\x92.",
        b"NN\x93.",
        b"cuuid\nUUID\n)R}b}b.",
    ] {
        refusal(pickle);
    }
}

#[test]
fn recursion_is_refused() {
    for name in ["recursive_list", "recursive_dict", "recursive_tuple"] {
        assert!(refusal(&golden(name)).contains("hold itself"), "{name}");
    }
    assert!(refusal(b"]2a.").contains("hold itself"));
    assert!(refusal(b"]q\x000]h\x00ah\x00h\x01a.").contains("refers to"));
    assert!(refusal(b"]q\x00]q\x01h\x00a0h\x00h\x01a.").contains("hold itself"));
    assert!(refusal(b"cuuid\nUUID\n)Rq\x00}X\x01\0\0\0ah\x00sb.").contains("hold itself"));
}

#[test]
fn depth_is_limited() {
    assert!(refusal(&golden("deep")).contains("deep"));
    let nested = |depth: usize| [vec![b']'; depth], vec![b'a'; depth - 1], vec![b'.']].concat();
    assert!(read(&nested(usize::from(MAX_DEPTH))).is_ok());
    assert!(refusal(&nested(usize::from(MAX_DEPTH) + 1)).contains("deep"));
    let wrapped = |depth: usize| [vec![b')'], vec![0x85; depth], vec![b'.']].concat();
    assert!(refusal(&wrapped(1_000_000)).contains("deep"));
    assert!(
        refusal(&[b"cm\nn\n".repeat(500), b")".repeat(500), b"R".repeat(500)].concat())
            .contains("byte")
    );
}

/// Levels of a list that holds the level below ten times.
fn shared_lists(levels: u8) -> Vec<u8> {
    let mut pickle = b"\x80\x02]q\x000".to_vec();
    for level in 1..=levels {
        pickle.extend_from_slice(b"](");
        for _ in 0..10 {
            pickle.extend_from_slice(&[b'h', level - 1]);
        }
        pickle.extend_from_slice(&[b'e', b'q', level, b'0']);
    }
    pickle.extend_from_slice(&[b'h', levels, b'.']);
    pickle
}

#[test]
fn shared_lists_of_shared_lists_stay_small() {
    let pickle = shared_lists(6);
    let tree = read(&pickle).unwrap();
    assert!(tree.len() < 20);
    safe_globals::check(&tree).unwrap();
}

#[test]
fn what_spells_out_to_more_than_can_be_read_is_refused() {
    // 10^8 and 10^30 paths: whoever shows or copies the value would walk them all.
    for levels in [8, 30] {
        assert!(refusal(&shared_lists(levels)).contains("spells out"));
    }
    // Texts and bytes count too.
    let text = [b"X\x00\x00\x10\x00".to_vec(), vec![b'x'; 1 << 20]].concat();
    let bytes = [b"B\x00\x00\x10\x00".to_vec(), vec![b'x'; 1 << 20]].concat();
    for large in [text, bytes] {
        for (before, behind) in [(&b"("[..], &b"t."[..]), (b"](", b"e."), (b"(", b"d.")] {
            let with = |count: usize| {
                let parts = [b"\x80\x03", &large[..], b"q\x000", before];
                [parts.concat(), b"h\x00".repeat(count), behind.to_vec()].concat()
            };
            read(&with(60)).unwrap();
            assert!(refusal(&with(70)).contains("spells out"));
        }
    }
}

#[test]
fn numbers_that_are_larger_than_they_look_are_refused() {
    let with = |text: &str| {
        let text =
            [b"X", &u32::try_from(text.len()).unwrap().to_le_bytes()[..], text.as_bytes()].concat();
        [b"\x80\x03cdecimal\nDecimal\n", &text[..], b"\x85R."].concat()
    };
    for text in ["12.50", "-1E-2000", "1e+2000 ", "NaN", "-Infinity", "sNaN12"] {
        safe_globals::check(&read(&with(text)).unwrap()).unwrap();
    }
    for text in ["1E+2001", "1E-999999999", "1e99999999999999", "1E+9_9999", "1E+\u{669}\u{669}"] {
        assert!(unsafe_name(&with(text)).contains("decimal.Decimal"), "{text}");
    }
    unsafe_name(&with(&"9".repeat(2001)));
    // (sign, digits, exponent)
    unsafe_name(b"\x80\x03cdecimal\nDecimal\nK\x00K\x01\x85J\xff\xff\xff\x7f\x87\x85R.");
    let int = |bytes: usize| {
        let length = u32::try_from(bytes).unwrap().to_le_bytes();
        [b"\x80\x03\x8b", &length[..], &b"\x7f".repeat(bytes), b"."].concat()
    };
    read(&int(1785)).unwrap();
    assert!(refusal(&int(1786)).contains("more digits"));
}

#[test]
fn large_values_are_not_used_over_and_over() {
    // Hashing a tuple of tuples takes twice as long for each level. Copying is as long as what is
    // copied, each time.
    let doubled = b"2\x86".repeat(30);
    let text = [b"X\0\x20\0\0", &[b'1'; 0x2000][..], b"q\x01"].concat();
    let list = [b"](", &b"N".repeat(0x2000)[..], b"eq\x01"].concat();
    let dict = [b"}(", &b"NN".repeat(0x2000)[..], b"uq\x01"].concat();
    for (before, value, after) in [
        (&b"}"[..], [b")", &doubled[..]].concat(), b"Ns".to_vec()),
        (b"(", [b")", &doubled[..]].concat(), b"Nd".to_vec()),
        (b"\x8f(", [b")", &doubled[..]].concat(), b"\x90".to_vec()),
        (b"(", [b")", &doubled[..]].concat(), b"\x91".to_vec()),
        (b"cuuid\nUUID\n)R", [b")", &doubled[..]].concat(), b"Ns".to_vec()),
        (b"(", list.clone(), b"h\x01\x85q\x020}h\x02Ns0".repeat(0x2000)),
        (
            b"c_codecs\nencode\nq\0U\x06latin1q\x02",
            text.clone(),
            b"h\0h\x01h\x02\x86R0".repeat(0x2000),
        ),
        (b"cdecimal\nDecimal\nq\0", text.clone(), b"h\0h\x01\x85R0".repeat(0x2000)),
        (b"cbuiltins\nset\nq\0", list, b"h\0h\x01\x85R0".repeat(0x2000)),
        (b"cuuid\nUUID\nq\0", dict.clone(), b"h\0)\x81h\x01b0".repeat(0x2000)),
        (b"cuuid\nUUID\nq\0", dict, b"h\0)h\x01\x920".repeat(0x2000)),
    ] {
        let cause = refusal(&[b"\x80\x04", before, &value, &after, b"."].concat());
        assert!(cause.contains("over and over"), "{}: {cause}", before.escape_ascii());
    }
    // As often as Python's own pickles refer to values, and much oftener, they may be.
    let tuple =
        [&b"("[..], &b"K\x01".repeat(100), b"tq\x01", &b"}h\x01Ns0".repeat(100), b"."].concat();
    read(&tuple).unwrap();
    let zones = b"h\0X\x20\0\0\0America/Argentina/ComodRivadavia\x85R0";
    let zones = [&b"cpendulum.tz.timezone\nTimezone\nq\0"[..], &zones.repeat(1000), b"N."].concat();
    safe_globals::check(&read(&zones).unwrap()).unwrap();
}

#[test]
fn numbers_in_lines_are_those_that_python_writes() {
    for line in
        ["I010", "I+1", "I-0", "I 1", "I0x1", "I", "I-", "L01L", "L+1L", "F1e999", "F-1e999"]
    {
        let cause = refusal(format!("{line}\n.").as_bytes());
        assert!(cause.contains("malformed"), "{line}: {cause}");
    }
    let float = |line: &str| match read(format!("{line}\n.").as_bytes()).unwrap() {
        tree if let Node::Float(value) = tree.node(tree.root()) => value,
        tree => panic!("{line}: {tree:?}"),
    };
    assert_eq!(
        (float("F1e308"), float("F-inf"), float("F-0.0").to_bits()),
        (1e308, f64::NEG_INFINITY, 1 << 63)
    );
    let text = read(b"V\\\\u0041\\u0041\\\n.").unwrap();
    assert_eq!(text.node(text.root()), Node::Str(r"\\u0041A\"));
}

#[test]
fn a_fixed_zone_with_another_state_is_not_recognised() {
    let zone = |state: &[u8]| {
        let time = b"cpendulum.datetime\nDateTime\n(M\xe8\x07K\x01K\x01K\0K\0K\0K\0";
        let zone = b"cpendulum.tz.timezone\nFixedTimezone\nM\x10\x0eX\x01\0\0\0a\x86R";
        [&time[..], zone, state, b"tR."].concat()
    };
    let recognised = |state: &[u8]| {
        let pickle = zone(state);
        let tree = read(&pickle).unwrap();
        tree.date_time(tree.root()).is_some()
    };
    let name = b"X\x05\0\0\0_nameX\x01\0\0\0a";
    let offset = b"X\x07\0\0\0_offsetM\x10\x0e";
    let delta = b"X\x0a\0\0\0_utcoffsetcdatetime\ntimedelta\nK\0M\x10\x0eK\0\x87R";
    let state = |parts: &[&[u8]]| [b"}(", &parts.concat()[..], b"ub"].concat();
    assert!(recognised(b""));
    assert!(recognised(&state(&[name, offset, delta])));
    assert!(!recognised(&state(&[name, offset])));
    assert!(!recognised(&state(&[name, offset, offset])));
    for (part, other) in [(0, name.len() - 1), (1, offset.len() - 2), (2, delta.len() - 6)] {
        let mut parts = [name.to_vec(), offset.to_vec(), delta.to_vec()];
        parts[part][other] ^= 1;
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        assert!(!recognised(&state(&parts)), "{part}");
    }
}

#[test]
fn every_truncation_of_a_pickle_is_an_error() {
    for (name, pickle) in all_golden() {
        for end in (0..pickle.len()).step_by(1 + pickle.len() / 1000) {
            assert!(read(&pickle[..end]).is_err(), "{name} at {end}");
        }
    }
}

/// Walks everything that a consumer would, each node once.
fn walk(tree: &Tree) {
    fn visit(tree: &Tree, id: NodeId, seen: &mut [bool], depth: usize) {
        assert!(depth <= 2 * usize::from(MAX_DEPTH));
        if std::mem::replace(&mut seen[id.index()], true) {
            return;
        }
        let _ = (tree.date_time(id), tree.numpy_scalar(id));
        let mut children = Vec::new();
        match tree.node(id) {
            Node::List(ids) | Node::Tuple(ids) | Node::Set(ids) | Node::FrozenSet(ids) => {
                children.extend_from_slice(ids);
            }
            Node::Dict(pairs) => children.extend_from_slice(pairs.as_flattened()),
            Node::Call(call) => {
                children.extend([call.callable, call.args]);
                children.extend(call.kwargs);
                children.extend(call.state);
                children.extend_from_slice(call.items.as_flattened());
                children.extend_from_slice(call.elements);
            }
            _ => {}
        }
        for child in children {
            visit(tree, child, seen, depth + 1);
        }
    }
    visit(tree, tree.root(), &mut vec![false; tree.len()], 0);
    let _ = tree.fields().map(Iterator::count);
    let _ = safe_globals::check(tree);
}

fn survive(reader: &mut Reader, pickle: &[u8]) {
    let _ = metadata::read(pickle);
    if let Ok(tree) = reader.read(pickle) {
        assert!(tree.len() <= 3 * pickle.len() + 4);
        walk(&tree);
        reader.reuse(tree);
    }
}

const OPCODES: &[u8] = b"(.012FGIJKLMNRSTUVX]})abcdeghjlpqrstuBC\x80\x81\x85\x86\x87\x88\x89\x8a\
    \x8b\x8c\x8e\x8f\x90\x91\x92\x93\x94\x95\x96";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_bytes_do_no_harm(pickle in prop::collection::vec(any::<u8>(), 0..200)) {
        survive(&mut Reader::new(), &pickle);
    }

    #[test]
    fn random_opcodes_do_no_harm(
        mut pickle in prop::collection::vec(
            prop_oneof![
                4 => prop::sample::select(OPCODES).prop_map(|opcode| vec![opcode]),
                1 => prop::sample::select(vec![
                    b"cbuiltins\ngetattr\n".to_vec(), b"cuuid\nUUID\n)R".to_vec(),
                    b"K\x01".to_vec(), b"X\x01\0\0\0a".to_vec(), b"h\x00".to_vec(),
                    b"h\x01".to_vec(), b"]\x94".to_vec(), b"}\x94".to_vec(), b"(K\x01".to_vec(),
                    b"c__builtin__\nset\n]\x85R".to_vec(), b"\x8f\x94(".to_vec(),
                ]),
            ],
            0..60,
        ).prop_map(|parts| parts.concat()),
    ) {
        pickle.push(b'.');
        survive(&mut Reader::new(), &pickle);
    }

    #[test]
    fn mutated_pickles_do_no_harm(
        index in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
        insert in prop::collection::vec(prop::sample::select(OPCODES), 0..4),
    ) {
        static FILES: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(all_golden);
        let mut pickle = index.get(&FILES).1.clone();
        for (position, byte) in changes {
            let position = position.index(pickle.len());
            pickle[position] = byte;
        }
        let cut = cut.index(pickle.len());
        pickle.splice(cut..cut, insert);
        survive(&mut Reader::new(), &pickle);
    }
}
