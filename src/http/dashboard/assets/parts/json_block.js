// JSON as the server wrote it, only indented and coloured.
import { html, useMemo } from '../core/html.js';
import { pretty, prettyTokens } from '../core/raw_json.js';
import { CopyButton } from './copy_as.js';

const COLOURED = 20_000; // characters: of more each colour costs more than it gives
const INDENTED = 500_000;

/** @param {{title: string, text: string, children?: any}} props */
export function JsonBlock({ title, text, children }) {
    const shown = useMemo(() => {
        if (text.length > INDENTED) return text;
        if (text.length > COLOURED) return pretty(text);
        return prettyTokens(text).map(token => (token.kind === 'mark' ? token.text : html`<span class=${`j-${token.kind}`}>${token.text}</span>`));
    }, [text]);
    return html`<section class="card json" aria-label=${title}>
        <h2>${title} <${CopyButton} text=${text} label=${`Copy the ${title.toLowerCase()}`} /></h2>
        ${children}
        <pre tabindex="0" role="group" aria-label=${title}>${shown}</pre>
    </section>`;
}
