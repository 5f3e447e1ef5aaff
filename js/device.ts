// Which device the engine can take: a look at the WebGPU adapter, and a gap of the engine's WebGPU layer filled.

/** The adapter the browser would give. */
export interface AdapterSummary {
  description: string;
  /** It computes on the CPU, far slower than the CPU engine does. */
  software: boolean;
  features: string[];
  limits: Record<string, number>;
}

/** The browser's adapter, nothing where there is none. */
export async function findAdapter(): Promise<AdapterSummary | undefined> {
  const adapter = await globalThis.navigator?.gpu?.requestAdapter({ powerPreference: 'high-performance' });
  if (adapter === null || adapter === undefined) return undefined;
  const { vendor, architecture, device, description, isFallbackAdapter } = adapter.info;
  const words = [...new Set([vendor, architecture, device, description].filter((word) => word !== ''))].join(' ');
  const limits: Record<string, number> = {};
  // The limits are getters of the prototype: they are seen by `in`, not by Object.entries.
  for (const name in adapter.limits) {
    const value: unknown = Reflect.get(adapter.limits, name);
    if (typeof value === 'number') limits[name] = value;
  }
  return {
    description: words === '' ? 'unnamed adapter' : words,
    software: isFallbackAdapter || /swiftshader|llvmpipe|lavapipe|basic render/i.test(words),
    features: [...adapter.features],
    limits,
  };
}

let subgroupsAllowed = false;

/**
 * Makes every device of this thread ask for `subgroups` where the adapter has it: wgpu 30 does not know the feature's
 * name on the web and drops it, and a shader may not use subgroups of a device that did not ask.
 */
export function allowSubgroups(): void {
  if (subgroupsAllowed) return;
  subgroupsAllowed = true;
  const { requestDevice } = GPUAdapter.prototype;
  GPUAdapter.prototype.requestDevice = function (this: GPUAdapter, descriptor = {}) {
    const features = new Set(descriptor.requiredFeatures);
    if (this.features.has('subgroups')) features.add('subgroups');
    return requestDevice.call(this, { ...descriptor, requiredFeatures: [...features] });
  };
}
