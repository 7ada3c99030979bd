// SPDX-License-Identifier: GPL-2.0
//! What a cut leaves in the middle of a commit, or of a replay.
