// The dedicated worker: the engine's side of the channel on the worker's own port.

import { serve } from './host.js';

// Others like it read stored chunks and compute beside it. Its address is known here alone: bundlers rename files.
serve(self, () => new Worker(self.location.href, { type: 'module', name: 'qwen3-web thread' }));
