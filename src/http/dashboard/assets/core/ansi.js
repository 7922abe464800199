// Terminal text as the browser shows it: colours become classes, everything else that a terminal would obey is dropped.
//
// Only text nodes and <span class> are made, so a log can put nothing else into the page.

/** @typedef {{ text: string, cls: string }} Run  A piece of text and the classes it is shown with ('' is plain). */

// CSI … final byte; OSC, DCS, SOS, PM and APC up to their end; two-character escapes.
const ESCAPE = /\x1b\[([0-?]*)[ -/]*([@-~])|\x1b[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?|\x1b[ -/]*[0-~]|\x1b/g;
const UNSEEN = /[\x00-\x08\x0b-\x1f\x7f]/g;

class Style {
    /** @type {string} */ fg = '';
    /** @type {string} */ bg = '';
    bold = false;
    dim = false;
    italic = false;
    underline = false;
    strike = false;
    inverse = false;

    get cls() {
        const out = [];
        const fg = this.inverse ? this.bg || 'x' : this.fg;
        const bg = this.inverse ? this.fg || 'x' : this.bg;
        if (fg) out.push(`a-f${fg}`);
        if (bg) out.push(`a-b${bg}`);
        if (this.bold) out.push('a-bold');
        if (this.dim) out.push('a-dim');
        if (this.italic) out.push('a-italic');
        if (this.underline) out.push('a-under');
        if (this.strike) out.push('a-strike');
        return out.join(' ');
    }

    /** @param {string} parameters as they stand between `[` and `m` */
    apply(parameters) {
        const codes = parameters.split(/[;:]/).map(Number);
        for (let i = 0; i < codes.length; i++) {
            const code = codes[i];
            if (code === 0) Object.assign(this, new Style());
            else if (code === 1) this.bold = true;
            else if (code === 2) this.dim = true;
            else if (code === 3) this.italic = true;
            else if (code === 4 || code === 21) this.underline = true;
            else if (code === 7) this.inverse = true;
            else if (code === 9) this.strike = true;
            else if (code === 22) this.bold = this.dim = false;
            else if (code === 23) this.italic = false;
            else if (code === 24) this.underline = false;
            else if (code === 27) this.inverse = false;
            else if (code === 29) this.strike = false;
            else if (code >= 30 && code <= 37) this.fg = String(code - 30);
            else if (code === 39) this.fg = '';
            else if (code >= 40 && code <= 47) this.bg = String(code - 40);
            else if (code === 49) this.bg = '';
            else if (code >= 90 && code <= 97) this.fg = String(code - 90);
            else if (code >= 100 && code <= 107) this.bg = String(code - 100);
            else if (code === 38 || code === 48) {
                const wide = codes[i + 1] === 2;
                const colour = wide ? nearest(codes[i + 2], codes[i + 3], codes[i + 4]) : indexed(codes[i + 2]);
                if (code === 38) this.fg = colour;
                else this.bg = colour;
                i += wide ? 4 : 2;
            }
        }
    }
}

/**
 * Cuts one line into pieces of one style each.
 * @param {string} line
 * @returns {Run[]}
 */
export function runs(line) {
    if (!line.includes('\x1b')) return [{ text: line.replace(UNSEEN, ''), cls: '' }];
    /** @type {Run[]} */
    const out = [];
    const style = new Style();
    let from = 0;
    const push = (/** @type {string} */ text) => {
        const seen = text.replace(UNSEEN, '');
        if (!seen) return;
        const last = out.at(-1);
        if (last && last.cls === style.cls) last.text += seen;
        else out.push({ text: seen, cls: style.cls });
    };
    for (const escape of line.matchAll(ESCAPE)) {
        push(line.slice(from, escape.index));
        from = escape.index + escape[0].length;
        if (escape[2] === 'm' && /^[0-9;:]*$/.test(escape[1])) style.apply(escape[1]);
    }
    push(line.slice(from));
    return out;
}

/**
 * Puts a line into an element.
 * @param {Element} into
 * @param {string} line
 * @returns {number} how many nodes that were
 */
export function append(into, line) {
    let nodes = 0;
    for (const { text, cls } of runs(line)) {
        if (cls) {
            const span = document.createElement('span');
            span.className = cls;
            span.append(text);
            into.append(span);
            nodes += 2;
        } else {
            into.append(text);
            nodes += 1;
        }
    }
    return nodes;
}

/** A colour of the table of 256: eight, the same eight brighter, a cube of six steps a side, and greys. */
function indexed(/** @type {number} */ index) {
    if (!(index >= 0 && index <= 255)) return '';
    if (index < 16) return String(index % 8);
    if (index >= 232) return index < 244 ? '0' : '7';
    const cube = index - 16;
    return nearest(51 * Math.floor(cube / 36), 51 * (Math.floor(cube / 6) % 6), 51 * (cube % 6));
}

/** Classes cannot carry a colour of their own, so a wide one is shown as one of the eight, which suit both schemes: by
 * which of red, green and blue are strong in it. */
function nearest(/** @type {number} */ r, /** @type {number} */ g, /** @type {number} */ b) {
    const strong = Math.max(r, g, b) * 0.6;
    return strong >= 0 ? String(strong && (r >= strong ? 1 : 0) + (g >= strong ? 2 : 0) + (b >= strong ? 4 : 0)) : '';
}
