//! Which modules of the recorded engine handle a message, with their priorities.

type Handler = (&'static str, u32);

/// What every message with the name of a channel goes through before its own handlers.
const DRIVERS: [Handler; 7] = [
    ("callfork", 10),
    ("tone", 10),
    ("dumb", 10),
    ("wave", 10),
    ("sip", 10),
    ("fax", 10),
    ("conf", 10),
];

const EXECUTE: [Handler; 11] = [
    ("yrtp", 50),
    ("cdrbuild", 50),
    ("tone", 90),
    ("dumb", 90),
    ("wave", 90),
    ("sip", 90),
    ("fax", 90),
    ("conf", 90),
    ("callfork", 100),
    ("pbx", 100),
    ("moh", 100),
];

const DROP: [Handler; 7] = [
    ("cdrbuild", 50),
    ("tone", 60),
    ("dumb", 60),
    ("wave", 60),
    ("sip", 60),
    ("fax", 60),
    ("conf", 60),
];

const RINGING: [Handler; 7] = [
    ("callfork", 20),
    ("yrtp", 50),
    ("cdrbuild", 50),
    ("dumb", 100),
    ("wave", 100),
    ("sip", 100),
    ("conf", 100),
];

const ANSWERED: [Handler; 8] = [
    ("callfork", 20),
    ("yrtp", 50),
    ("cdrbuild", 50),
    ("dumb", 100),
    ("wave", 100),
    ("sip", 100),
    ("fax", 100),
    ("conf", 100),
];

const STATUS: [Handler; 17] = [
    ("engine", 90),
    ("cdrbuild", 100),
    ("rex_debug", 100),
    ("moh", 100),
    ("callfork", 110),
    ("tone", 110),
    ("yrtp", 110),
    ("dumb", 110),
    ("regexroute", 110),
    ("wave", 110),
    ("sip", 110),
    ("tonedetect", 110),
    ("fax", 110),
    ("conf", 110),
    ("pbx", 110),
    ("extmodule", 110),
    ("fileinfo", 110),
];

const COMMAND: [Handler; 16] = [
    ("engine", 100),
    ("cdrbuild", 100),
    ("rex_debug", 100),
    ("extmodule", 100),
    ("regexroute", 110),
    ("callfork", 120),
    ("tone", 120),
    ("yrtp", 120),
    ("dumb", 120),
    ("wave", 120),
    ("sip", 120),
    ("tonedetect", 120),
    ("fax", 120),
    ("conf", 120),
    ("pbx", 120),
    ("fileinfo", 120),
];

const TIMER: [Handler; 11] = [
    ("callfork", 90),
    ("tone", 90),
    ("yrtp", 90),
    ("dumb", 90),
    ("wave", 90),
    ("sip", 90),
    ("tonedetect", 90),
    ("fax", 90),
    ("conf", 90),
    ("pbx", 90),
    ("fileinfo", 90),
];

/// The handlers of a message in their order.
pub(super) fn of(name: &str) -> &'static [Handler] {
    match name {
        "call.execute" => &EXECUTE,
        "call.drop" => &DROP,
        "call.ringing" | "call.progress" => &RINGING,
        "call.answered" => &ANSWERED,
        "call.preroute" => &[("regexroute", 100)],
        "call.route" => &[
            ("cdrbuild", 50),
            ("fileinfo", 90),
            ("regexroute", 100),
            ("sip", 100),
        ],
        "call.update" => &[("cdrbuild", 50), ("sip", 100), ("fax", 110)],
        "call.conference" => &[("conf", 150)],
        "chan.locate" => &[
            ("tone", 40),
            ("dumb", 40),
            ("wave", 40),
            ("sip", 40),
            ("fax", 40),
            ("conf", 40),
        ],
        "chan.masquerade" => &DRIVERS,
        "chan.attach" => &[
            ("yrtp", 100),
            ("tone", 100),
            ("wave", 100),
            ("tonedetect", 100),
            ("pbx", 100),
            ("moh", 100),
        ],
        "chan.record" => &[("wave", 100), ("tonedetect", 100), ("pbx", 100)],
        "chan.dtmf" => &[
            ("conf", 75),
            ("callfork", 100),
            ("dumb", 100),
            ("wave", 100),
            ("sip", 100),
            ("yrtp", 150),
        ],
        "chan.connect" => &[("pbx", 90)],
        "chan.control" => &[
            ("tone", 90),
            ("dumb", 90),
            ("wave", 90),
            ("sip", 90),
            ("fax", 90),
            ("conf", 90),
        ],
        "chan.hangup" => &[("yrtp", 50), ("cdrbuild", 150), ("conf", 150)],
        "chan.rtp" => &[("yrtp", 100)],
        "chan.startup" => &[("cdrbuild", 50)],
        "engine.command" => &COMMAND,
        "engine.halt" => &TIMER,
        "engine.status" => &STATUS,
        "engine.timer" => &TIMER,
        "msg.execute" => &[("sip", 100)],
        "xsip.generate" => &[("sip", 110)],
        _ => &[],
    }
}
