#pragma once

#include "common/contract/member.hpp"
#include "common/contract/vocabulary.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

// Pure: what is wrong with a pipeline, and what to do about it.
namespace pgpulse::ctl {

/// A stream or bucket as the server describes it.
struct StreamSeen {
    std::string name;     // of the bucket or stream
    std::string fault;    // why nothing is known of it; empty: it is there
    bool absent = false;  // the server says so; otherwise what it holds is not known
    int replicas = 1;
    int replicas_current = 1;
    std::int64_t per_subject = 0;  // messages kept of each subject
    std::string republish_to;
};

/// A worker as its pings show it.
struct WorkerHeard {
    std::uint64_t pings = 0;
    std::chrono::milliseconds clock_ahead{0};  // its wall clock before the server's
    bool suspect = false;
};

/// What was seen of a pipeline.
struct PipelineSeen {
    std::string jetstream_fault;  // empty: it is on
    std::uint64_t stored_bytes = 0;
    std::int64_t most_stored_bytes = -1;  // -1: no limit
    std::vector<StreamSeen> buckets;
    StreamSeen history;
    std::vector<contract::Member> members;
    std::vector<std::string> refused_definitions;           // names whose value is no definition
    std::map<std::string, std::uint32_t> observers_wanted;  // by target
    std::map<std::string, contract::Health> states;         // by target
    std::map<std::string, WorkerHeard> heard;               // by worker
    std::map<std::string, std::size_t> shares;              // targets of each worker that serves
    std::chrono::milliseconds listened{0};
    std::optional<std::chrono::milliseconds> own_clock_ahead;  // of the server's; empty: not known
};

enum class Grade { ok, note, warning, failure };

struct Finding {
    Grade grade = Grade::ok;
    std::string subject;  // "buckets"
    std::string text;     // one line
    std::string advice;   // what to do; empty: nothing
};

/// In the order in which an operator mends things.
std::vector<Finding> diagnose(const PipelineSeen& seen);

/// "ok", "note", "warning", "failure"
std::string_view to_string(Grade grade);

}  // namespace pgpulse::ctl
