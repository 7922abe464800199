// The dashboard: what is around every page, and which page is shown.
import { html, render, signal } from './core/html.js';
import { url } from './core/base.js';
import { bind, startKeys } from './core/keys.js';
import { later } from './core/later.js';
import { startLive, subscribe } from './core/live.js';
import { loadSystem, system } from './core/me.js';
import { navigate, route, startRouter } from './core/router.js';
import { Banner, ConnectionState, isStale } from './parts/banner.js';
import { CopyAs } from './parts/copy_as.js';
import { Heading } from './parts/heading.js';

const KeyboardHelp = later(() => import('./parts/keyboard_help.js'));
const helping = signal(false);
const showKeyboardHelp = () => (helping.value = true);

const PAGES = [
    { pattern: '/', page: later(() => import('./pages/overview.js')) },
    { pattern: '/instances', page: later(() => import('./pages/instances.js')) },
    { pattern: '/instances/:id', page: later(() => import('./pages/instance.js')) },
    { pattern: '/instances/:id/logs', page: later(() => import('./pages/logs.js')) },
    { pattern: '/tasks', page: later(() => import('./pages/tasks.js')) },
    { pattern: '/tasks/:id', page: later(() => import('./pages/task.js')) },
    { pattern: '/tasks/:id/start', page: later(() => import('./pages/start.js')) },
    { pattern: '/system', page: later(() => import('./pages/system.js')) },
    { pattern: '/login', page: later(() => import('./pages/login.js')) },
];

const NAV = /** @type {const} */ ([
    ['/', 'Overview', 'g o'],
    ['/instances', 'Instances', 'g i'],
    ['/tasks', 'Tasks', 'g t'],
    ['/system', 'System', 'g s'],
]);

function Nav() {
    const { path } = route.value;
    return html`<nav aria-label="Pages">
        ${NAV.map(([to, name]) => {
            const here = path === to ? 'page' : to !== '/' && path.startsWith(`${to}/`) ? 'true' : undefined;
            return html`<a href=${url(to)} aria-current=${here}>${name}</a>`;
        })}
    </nav>`;
}

function Header() {
    const login = route.value.path === '/login';
    return html`<header class="top">
        <a class="brand" href=${url('/')} aria-label="Taskwright, overview"><svg viewBox="0 0 32 32" width="22" height="22" aria-hidden="true"><rect width="32" height="32" rx="7" /><path d="M8 9h16M16 9v8M10 20.5l4.3 4.2L23 17" /></svg><span class="wideonly">Taskwright</span></a>
        ${!login && html`<${Nav} />`}
        <span class="push"></span>
        ${!login && html`<${ConnectionState} /><${CopyAs} />`}
        <button type="button" class="quiet" onClick=${showKeyboardHelp} aria-label="Keyboard" title="Keyboard (?)"><kbd>?</kbd></button>
    </header>`;
}

const Missing = () => html`<${Heading} title="There is no such page" /><p><a href=${url('/')}>To the overview</a></p>`;

function App() {
    const { path, page, params, query } = route.value;
    return html`<a class="skip" href="#main">To the content</a>
        <${Header} />
        <${Banner} />
        <main id="main" class=${isStale() ? 'stale' : ''} tabindex="-1"><${page ?? Missing} key=${path} params=${params} query=${query} /></main>
        ${helping.value && html`<${KeyboardHelp} close=${() => (helping.value = false)} />`}`;
}

bind([...NAV.map(([to, name, keys]) => ({ keys, does: name, run: () => navigate(to) })), { keys: '?', does: 'These keys', run: showKeyboardHelp }]);
startRouter(PAGES);
startKeys();
if (route.peek().path !== '/login') {
    // What refuses us is told by the page itself.
    const load = () => void loadSystem().catch(() => {});
    load();
    // The feed begins with what is not known before it, but a daemon becomes another one only later.
    let begun = false;
    subscribe((news) => {
        if (!news.resync) return;
        if (begun || !system.peek()) load();
        begun = true;
    });
    startLive();
}
render(html`<${App} />`, /** @type {HTMLElement} */ (document.getElementById('app')));
