// The dedicated worker: the engine's side of the channel on the worker's own port.

import { serve } from './host.js';

serve(self);
