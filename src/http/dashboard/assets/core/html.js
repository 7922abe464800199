// The one place that names the vendored libraries, and gives them types.
import { h, render, Fragment } from '../vendor/preact.js';
import * as hooks from '../vendor/preact-hooks.js';
import * as signals from '../vendor/signals.js';
import htm from '../vendor/htm.js';

/** @type {(strings: TemplateStringsArray, ...values: any[]) => any} */
export const html = /** @type {any} */ (htm).bind(h);
export { render, Fragment };

const typed = /** @type {HookTypes} */ (/** @type {unknown} */ (hooks));
export const { useState, useEffect, useLayoutEffect, useRef, useMemo, useCallback, useId } = typed;

const reactive = /** @type {SignalTypes} */ (/** @type {unknown} */ (signals));
export const { signal, computed, effect, batch, useSignal, useComputed } = reactive;
