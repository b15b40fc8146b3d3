#include "probe/opinion.hpp"

#include <algorithm>

namespace pgpulse::probe {
namespace {

enum class Bearing { success, failure, no_evidence };

Bearing bearing_of(contract::Verdict verdict) {
    switch (verdict) {
        case contract::Verdict::accepting:
            return Bearing::success;
        case contract::Verdict::rejecting:
        case contract::Verdict::no_response:
            return Bearing::failure;
        case contract::Verdict::not_attempted:
        case contract::Verdict::inconclusive:
            return Bearing::no_evidence;
    }
    return Bearing::no_evidence;
}

}  // namespace

void OpinionTracker::feed(contract::Verdict verdict, Mono started, Limits limits, bool decides) {
    switch (bearing_of(verdict)) {
        case Bearing::no_evidence:
            return;
        case Bearing::success:
            newest_success_started_ = std::max(newest_success_started_, started);
            lengthen(true);
            if (streak_ >= limits.rise) opinion_ = contract::Opinion::up;
            return;
        case Bearing::failure:
            if (superseded(started)) return;
            lengthen(false);
            if (decides && streak_ >= limits.fall) opinion_ = contract::Opinion::down;
            return;
    }
}

void OpinionTracker::void_failures() {
    if (!succeeding_ && opinion_ != contract::Opinion::down) streak_ = 0;
}

bool OpinionTracker::settled() const {
    return !questioned_ && opinion_ != contract::Opinion::undecided &&
           succeeding_ == (opinion_ == contract::Opinion::up);
}

void OpinionTracker::lengthen(bool success) {
    streak_ = streak_ > 0 && succeeding_ == success ? streak_ + 1 : 1;
    succeeding_ = success;
    questioned_ = false;
}

}  // namespace pgpulse::probe
