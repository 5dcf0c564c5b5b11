//! The adapter's own context: extensions that calls are sent to, so that an order such as "hold" is
//! one `Redirect` and goes on when the link is lost.
//!
//! Values come in variables of the channel. Nothing of a request is ever written into a step.

/// A parked call: silent, a day at the most.
pub(super) const PARK: &str = "park";

/// A held call: music.
pub(super) const HOLD: &str = "hold";

/// Calls another party: the second one of a connected call, the new one of a transfer.
pub(super) const DIAL: &str = "dial";

/// Joins a conference.
pub(super) const CONFERENCE: &str = "conference";

/// Sends digits into another channel.
pub(super) const DTMF: &str = "dtmf";

/// Takes an incoming call: lifts the limit of its wait, answers, goes on. One `Redirect` does all of
/// it, so that nothing depends on the link after the order.
pub(super) const ACCEPT: &str = "accept";

/// Receives a fax.
pub(super) const RECEIVE: &str = "receive";

/// Where [`ACCEPT`] goes on: `context,extension,priority`.
pub(super) const ACCEPT_TO: &str = "FAXBOT_TO";

/// How long the channel may live from [`ACCEPT`] on, in seconds; 0 is without end.
pub(super) const ACCEPT_LIMIT: &str = "FAXBOT_LIMIT";

/// The file of [`RECEIVE`], and its options.
pub(super) const FAX_FILE: &str = "FAXBOT_FILE";
pub(super) const FAX_OPTIONS: &str = "FAXBOT_FAX_OPTIONS";

/// Class of the music of [`HOLD`].
pub(super) const MUSIC: &str = "FAXBOT_MUSIC";

/// Dial string of [`DIAL`].
pub(super) const DIAL_TO: &str = "FAXBOT_DIAL";

/// Its ring time-out, in seconds.
pub(super) const DIAL_RING: &str = "FAXBOT_RING";

/// Its options.
pub(super) const DIAL_OPTIONS: &str = "FAXBOT_DIAL_OPTIONS";

/// `1`: the channel stays when nobody answered.
pub(super) const DIAL_STAY: &str = "FAXBOT_STAY";

/// Name of the conference of [`CONFERENCE`].
pub(super) const ROOM: &str = "FAXBOT_ROOM";

/// What [`DTMF`] sends, and how: milliseconds between digits and of one digit, the channel.
pub(super) const DTMF_DIGITS: &str = "FAXBOT_DIGITS";
pub(super) const DTMF_GAP: &str = "FAXBOT_GAP";
pub(super) const DTMF_LENGTH: &str = "FAXBOT_LENGTH";
pub(super) const DTMF_CHANNEL: &str = "FAXBOT_CHANNEL";

/// A parked call waits this long, in seconds: a day.
pub(super) const PARK_SECONDS: &str = "86400";

/// Application and data.
type Step = (&'static str, &'static str);

/// The extensions beside the hangup handler's: name, and steps from priority 1 on.
pub(super) const EXTENSIONS: &[(&str, &[Step])] = &[
    (PARK, &[("Wait", PARK_SECONDS), ("Hangup", "")]),
    (
        HOLD,
        &[
            // `MusicOnHold` would return at once for a class that does not exist, and a channel that
            // was bridged again goes on behind the step that it was taken from.
            ("StartMusicOnHold", "${FAXBOT_MUSIC}"),
            ("Wait", PARK_SECONDS),
            ("Hangup", ""),
        ],
    ),
    (
        DIAL,
        &[
            (
                "Dial",
                "${FAXBOT_DIAL},${FAXBOT_RING},${FAXBOT_DIAL_OPTIONS}",
            ),
            // Reached when nobody answered, and after a bridge that the channel was taken into from
            // here: then it ends.
            (
                "ExecIf",
                "$[\"${FAXBOT_STAY}\" = \"1\" & \"${DIALSTATUS}\" != \"ANSWER\"]?Wait(86400)",
            ),
            ("Hangup", ""),
        ],
    ),
    (
        ACCEPT,
        &[
            ("Set", "TIMEOUT(absolute)=${FAXBOT_LIMIT}"),
            ("Answer", ""),
            ("Goto", "${FAXBOT_TO}"),
        ],
    ),
    (
        RECEIVE,
        &[
            ("ReceiveFAX", "${FAXBOT_FILE},${FAXBOT_FAX_OPTIONS}"),
            ("Hangup", ""),
        ],
    ),
    (
        CONFERENCE,
        &[
            // A recording has the name that it is given, without the time in it. That holds for a
            // conference whose first member comes by here.
            ("Set", "CONFBRIDGE(bridge,template)=default_bridge"),
            ("Set", "CONFBRIDGE(bridge,record_file_timestamp)=no"),
            ("ConfBridge", "${FAXBOT_ROOM}"),
            ("Hangup", ""),
        ],
    ),
    (
        DTMF,
        &[
            (
                "SendDTMF",
                "${FAXBOT_DIGITS},${FAXBOT_GAP},${FAXBOT_LENGTH},${FAXBOT_CHANNEL}",
            ),
            ("Hangup", ""),
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_of_a_step_has_its_name_here() {
        let names = [
            MUSIC,
            DIAL_TO,
            DIAL_RING,
            DIAL_OPTIONS,
            DIAL_STAY,
            ROOM,
            DTMF_DIGITS,
            DTMF_GAP,
            DTMF_LENGTH,
            DTMF_CHANNEL,
            ACCEPT_TO,
            ACCEPT_LIMIT,
            FAX_FILE,
            FAX_OPTIONS,
            // The server's own.
            "DIALSTATUS",
        ];
        let steps = EXTENSIONS.iter().flat_map(|(_, steps)| steps.iter());
        for (_, data) in steps {
            for piece in data.split("${").skip(1) {
                let name = piece.split('}').next().unwrap();
                assert!(names.contains(&name), "{name}");
            }
        }
    }
}
