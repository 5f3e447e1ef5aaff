// A request that is refused before a model sees it.

/** Says with which status, and which parameter is wrong. */
export class Refusal extends Error {
  readonly status: number;
  readonly param: string | undefined;
  readonly code: string | undefined;

  constructor(status: number, message: string, { param, code }: { param?: string; code?: string } = {}) {
    super(message);
    this.status = status;
    this.param = param;
    this.code = code;
  }
}

/** Refuses a parameter. */
export function refuse(param: string, expected: string, value: unknown): never {
  throw new Refusal(400, `${param}: expected ${expected}, got ${JSON.stringify(value) ?? 'nothing'}`.slice(0, 300), { param });
}
