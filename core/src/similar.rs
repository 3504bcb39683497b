// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Names that somebody may have meant.

/// From 0 (nothing in common) to 1 (the same). Among tens of thousands of functions, less than this is no mistyping.
const SIMILAR: f64 = 0.88;

/// As many are worth reading.
const SHOWN: usize = 3;

/// The names most similar to `name`, the best first. May be none.
pub fn similar<'a>(name: &str, others: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut best: Vec<(f64, &str)> = Vec::new();
    for other in others {
        // One slip of the fingers counts above all, in the shortest names too.
        let is_slip = name.len().abs_diff(other.len()) <= 1 && strsim::osa_distance(name, other) == 1;
        let similarity = strsim::jaro_winkler(name, other) + f64::from(u8::from(is_slip));
        let is_better = best.len() < SHOWN || best.last().is_some_and(|(least, _)| similarity > *least);
        if similarity > SIMILAR && is_better && !best.iter().any(|(_, known)| *known == other) {
            let at = best.partition_point(|(better, _)| *better >= similarity);
            best.insert(at, (similarity, other));
            best.truncate(SHOWN);
        }
    }
    best.into_iter().map(|(_, name)| name).collect()
}

/// Asks for them: ``did you mean `tcp_v4_rcv`?``. `None` when there is none.
pub fn did_you_mean(similar: &[impl AsRef<str>]) -> Option<String> {
    let names: Vec<String> = similar.iter().map(|name| format!("`{}`", name.as_ref())).collect();
    (!names.is_empty()).then(|| format!("did you mean {}?", names.join(" or ")))
}

#[cfg(test)]
mod tests {
    use super::{did_you_mean, similar};

    #[test]
    fn the_most_similar_names_come_first() {
        let names = ["tcp_v6_rcv", "tcp_v4_rcv", "ip_rcv", "tcp_v4_early_demux", "tcp_v4_rcv", "dst_output"];
        assert_eq!(similar("tcp_v4_rvc", names), ["tcp_v4_rcv", "tcp_v6_rcv"]);
        assert_eq!(did_you_mean(&similar("ip_rvc", names)).as_deref(), Some("did you mean `ip_rcv`?"));
        assert_eq!(did_you_mean(&similar("xyz", names)), None);
        assert_eq!(similar("sbk", ["dev", "skb", "skb-tracking"]), ["skb"]);
    }
}
