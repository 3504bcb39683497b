/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Distributions build libpcap so that it can capture from D-Bus, too. Only filters are compiled with it here: what it would need for that
 * is never called, and is not linked.
 */
#define ABSENT(name) \
	void name(void); \
	void name(void) { __builtin_trap(); }

ABSENT(dbus_bus_add_match)
ABSENT(dbus_bus_get)
ABSENT(dbus_bus_register)
ABSENT(dbus_connection_flush)
ABSENT(dbus_connection_open)
ABSENT(dbus_connection_pop_message)
ABSENT(dbus_connection_read_write)
ABSENT(dbus_connection_send)
ABSENT(dbus_connection_set_max_received_size)
ABSENT(dbus_connection_unref)
ABSENT(dbus_error_free)
ABSENT(dbus_error_is_set)
ABSENT(dbus_free)
ABSENT(dbus_message_demarshal)
ABSENT(dbus_message_is_signal)
ABSENT(dbus_message_marshal)
ABSENT(dbus_message_unref)
