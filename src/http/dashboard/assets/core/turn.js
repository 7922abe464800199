// What the tabs of one browser share: a browser has six connections to an origin, for all of them together. Where the
// page did not come over HTTPS or from this machine there are no locks; then each tab does as if it were alone.

/** Does `work` while no other tab does, once it is this one's turn; gives up when `abort` is told before that.
 * @param {string} name @param {AbortSignal} abort @param {() => Promise<void>} work */
export async function inTurn(name, abort, work) {
    if (!navigator.locks) return work();
    let began = false;
    try {
        await navigator.locks.request(name, { signal: abort }, () => {
            began = true;
            return work();
        });
    } catch (error) {
        if (began) throw error;
        if (!abort.aborted) await work();
    }
}

/** Takes one of `most` places, or none if other tabs have them all.
 * @param {string} name @param {number} most @returns {Promise<(() => void) | null>} what gives it back */
export async function place(name, most) {
    if (!navigator.locks) return () => {};
    for (let at = 0; at < most; at++) {
        /** @type {(() => void) | null} */
        const leave = await new Promise(taken => {
            const asked = navigator.locks.request(`${name} ${at}`, { ifAvailable: true }, lock => {
                if (!lock) return taken(null);
                return new Promise(left => taken(() => left(undefined)));
            });
            asked.catch(() => taken(null));
        });
        if (leave) return leave;
    }
    return null;
}
