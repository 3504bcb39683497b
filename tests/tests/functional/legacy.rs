// SPDX-License-Identifier: Apache-2.0 OR MIT
//! On 5.10: it starts, shows packets, and says what it can't do there.
