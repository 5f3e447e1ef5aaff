// One plain object about the browser and its device, to paste into a bug report. It names no page and no model.

import manifest from '../pkg/package.json';
import { findAdapter, type AdapterSummary } from './device.js';
import { storageUsage } from './storage.js';

/** What {@link diagnose} finds. */
export interface Diagnosis {
  version: string;
  userAgent: string;
  /** Absent where the browser gives no adapter. */
  adapter?: AdapterSummary;
  webgpu: boolean;
  cpuCores: number;
  crossOriginIsolated: boolean;
  secureContext: boolean;
  worker: boolean;
  /** Absent where the site has no storage. */
  storage?: { usedBytes: number; quotaBytes: number; persisted: boolean };
}

/** Looks at adapter, limits, features, storage, isolation and versions. */
export async function diagnose(): Promise<Diagnosis> {
  const [adapter, storage] = await Promise.all([
    findAdapter().catch(() => undefined),
    storageUsage().catch(() => undefined),
  ]);
  return {
    version: manifest.version,
    userAgent: navigator.userAgent,
    webgpu: navigator.gpu !== undefined,
    cpuCores: navigator.hardwareConcurrency,
    crossOriginIsolated: globalThis.crossOriginIsolated,
    secureContext: globalThis.isSecureContext,
    worker: typeof Worker !== 'undefined',
    ...(adapter === undefined ? {} : { adapter }),
    ...(storage === undefined ? {} : { storage }),
  };
}
