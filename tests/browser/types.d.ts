// Types of what the API answers and of the vendored libraries, for `tsc --checkJs`. Nothing of it is served.

interface Signal<T> {
  value: T;
  peek(): T;
  subscribe(listener: (value: T) => void): () => void;
}
type ReadonlySignal<T> = Omit<Signal<T>, 'value'> & { readonly value: T };

interface SignalTypes {
  signal<T>(value: T): Signal<T>;
  computed<T>(make: () => T): ReadonlySignal<T>;
  effect(run: () => void | (() => void)): () => void;
  batch<T>(run: () => T): T;
  useSignal<T>(value: T): Signal<T>;
  useComputed<T>(make: () => T): ReadonlySignal<T>;
}

type Cleanup = void | (() => void);
interface HookTypes {
  useState<T>(first: T | (() => T)): [T, (next: T | ((before: T) => T)) => void];
  useEffect(run: () => Cleanup, inputs?: readonly unknown[]): void;
  useLayoutEffect(run: () => Cleanup, inputs?: readonly unknown[]): void;
  useRef<T>(first: T): { current: T };
  useMemo<T>(make: () => T, inputs: readonly unknown[]): T;
  useCallback<T extends Function>(callback: T, inputs: readonly unknown[]): T;
  useId(): string;
}

type Status = 'pending' | 'running' | 'completed' | 'failed' | 'cancelled';
type Scope = 'read' | 'run' | 'admin';

interface TaskError {
  kind: string;
  message: string;
  attempt: number;
  causes?: string[];
  location?: string | null;
  after?: number;
  exit_code?: number;
  signal?: number;
  signal_name?: string;
  program?: string;
  errors?: Fault[];
  reason?: string;
}

interface Summary {
  id: string;
  number: number;
  task_id: string;
  status: Status;
  pending_reason: string | null;
  progress: number;
  message: string | null;
  error: TaskError | null;
  workload: 'local' | 'remote';
  attempt: number;
  max_attempts: number;
  timeout: number | null;
  stop_requested_at: string | null;
  stop_deadline: string | null;
  priority: number;
  labels: Record<string, string>;
  run_at: string;
  created_at: string;
  started_at: string | null;
  finished_at: string | null;
  updated_at: string;
  version: number;
  retry_of: string | null;
  node: string | null;
}

interface Instance extends Summary {
  inputs: unknown;
  output: unknown;
  result: unknown;
}

interface Attempt {
  attempt: number;
  node: string | null;
  started_at: string;
  finished_at: string | null;
  ended: 'completed' | 'failed' | 'cancelled' | 'interrupted' | null;
  error: TaskError | null;
  exit_code: number | null;
  signal: number | null;
}

interface LogLine {
  seq: number;
  time: string;
  attempt: number;
  stream: 'stdout' | 'stderr' | 'task' | 'system';
  text: string;
}

interface Definition {
  id: string;
  name: string;
  description: string | null;
  workload: 'local' | 'remote';
  source: 'compiled' | 'configured' | 'registered';
  command: string[] | null;
  timeout: number | null;
  queue_timeout: number | null;
  max_attempts: number;
  retry_delay: number;
  concurrency: number | null;
  input_schema: any;
  output_schema: any;
  app_id: string | null;
  app_version_id: string | null;
}

interface StatsBucket {
  start: string;
  started: number;
  completed: number;
  failed: number;
  cancelled: number;
}

interface Stats {
  by_status: Record<Status, number>;
  window: number;
  bucket: number;
  durations: { count: number; p50: number | null; p95: number | null };
  buckets: StatsBucket[];
}

interface Fault {
  pointer?: string;
  parameter?: string;
  detail: string;
}

interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  request_id?: string;
  errors?: Fault[];
}

interface Slots {
  used: number;
  total: number;
}

interface SystemInfo {
  version: string;
  node: string;
  started_at: string;
  base_path: string;
  store: {
    backend: string;
    path: string;
    synchronous: string;
    bytes: number;
    disk_free: number | null;
    schema: number;
  };
  health: { ready: boolean; draining: boolean };
  slots: { local: Slots; command: Slots };
  settings: { key: string; value: unknown; origin: string }[];
  you: { name: string | null; scopes: Scope[] };
}

/** What a page is given. */
interface PageProps {
  params: Record<string, string>;
  query: URLSearchParams;
}
