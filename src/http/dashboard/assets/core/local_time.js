// Times as an input of type `datetime-local` has them: in the reader's zone.

/** The last one that can be sent: a year has four digits. */
export const LATEST = '9999-12-31T23:59:59';

/** Which zone that is, in words. */
export const ZONE = `in your time zone, ${Intl.DateTimeFormat().resolvedOptions().timeZone}`;

/** The time as RFC 3339 has it, or null for what is none there. @param {string} local */
export function instant(local) {
    const at = Date.parse(local);
    const text = Number.isNaN(at) ? '' : new Date(at).toISOString();
    return /^\d/.test(text) ? text : null;
}

/** What the input shows of a time. @param {string} time */
export function localTime(time) {
    const at = Date.parse(time);
    if (!instant(time)) return time;
    return new Date(at - new Date(at).getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}
