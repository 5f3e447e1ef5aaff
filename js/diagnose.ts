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
  /** Whether the option `gpuTimestamps` of `loadModel` has a clock to read, and if not, why. */
  gpuTimestamps: 'available' | `unavailable: ${string}`;
  /** WebAssembly's vector instructions, without which nothing runs. */
  wasmSimd: boolean;
  cpuCores: number;
  /** As coarse as the browser tells it; absent where it does not. */
  memoryGB?: number;
  crossOriginIsolated: boolean;
  secureContext: boolean;
  worker: boolean;
  /** Absent where the site has no storage. */
  storage?: { usedBytes: number; quotaBytes: number; persisted: boolean };
}

/** A module with one function that makes a vector of zeros. */
const SIMD = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 8, 1, 6, 0, 65, 0, 253, 15, 11);

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
    gpuTimestamps: timestamps(adapter),
    wasmSimd: WebAssembly.validate(SIMD),
    cpuCores: navigator.hardwareConcurrency,
    crossOriginIsolated: globalThis.crossOriginIsolated,
    secureContext: globalThis.isSecureContext,
    worker: typeof Worker !== 'undefined',
    ...('deviceMemory' in navigator && typeof navigator.deviceMemory === 'number' ? { memoryGB: navigator.deviceMemory } : {}),
    ...(adapter === undefined ? {} : { adapter }),
    ...(storage === undefined ? {} : { storage }),
  };
}

function timestamps(adapter: AdapterSummary | undefined): Diagnosis['gpuTimestamps'] {
  if (adapter === undefined) return 'unavailable: there is no WebGPU adapter';
  return adapter.features.includes('timestamp-query') ? 'available' : "unavailable: the adapter has no feature 'timestamp-query'";
}
