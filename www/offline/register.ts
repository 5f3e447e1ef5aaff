// Keeps the page for a visit without network, where the browser can.

// Anywhere it cannot, in private windows for one, the page works as before.
navigator.serviceWorker?.register('service-worker.js').catch(() => undefined);
