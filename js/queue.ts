// Work that waits for its turn: so many pieces at the same time, begun in the order they came in.

interface Piece {
  share: number;
  start(): Promise<void>;
}

export class Queue {
  /** Pieces of work that may run at the same time. */
  width = 1;
  #taken = 0;
  readonly #waiting: Piece[] = [];

  /** Whether other work runs or waits, seen from a piece of it. */
  get isShared(): boolean {
    return this.#taken > 1 || this.#waiting.length > 0;
  }

  /** Runs work when its turn has come. */
  run<T>(work: () => T | Promise<T>): Promise<T> {
    return this.#take(1, work);
  }

  /** Runs work when all before it is over, and nothing beside it. */
  runAlone<T>(work: () => T | Promise<T>): Promise<T> {
    return this.#take(Infinity, work);
  }

  #take<T>(share: number, work: () => T | Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const start = async (): Promise<void> => {
        try {
          resolve(await work());
        } catch (error) {
          reject(error);
        }
      };
      this.#waiting.push({ share, start });
      this.#begin();
    });
  }

  #begin(): void {
    for (let next = this.#waiting[0]; next !== undefined && this.#taken + Math.min(next.share, this.width) <= this.width; next = this.#waiting[0]) {
      this.#waiting.shift();
      const share = Math.min(next.share, this.width);
      this.#taken += share;
      void next.start().then(() => {
        this.#taken -= share;
        this.#begin();
      });
    }
  }
}
