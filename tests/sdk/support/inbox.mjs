import assert from "node:assert/strict";

/** Long enough for a loaded machine; a case that passes never waits for it. */
const PATIENCE_MS = 15_000;

/**
 * Everything that one listener heard, in order.
 *
 * A case takes things out one by one and says what each must be, so an event too many fails it as surely as one
 * too few. That something is *not* heard is shown with a fence: a later event that must be the very next one.
 */
export class Inbox {
  #whose;
  #heard = [];
  #waiting;

  constructor(whose) {
    this.#whose = whose;
  }

  /** Puts in what was heard. */
  hear(event, data) {
    const item = { event, data };
    if (this.#waiting) {
      this.#waiting(item);
      this.#waiting = undefined;
    } else {
      this.#heard.push(item);
    }
  }

  /** Takes out the next thing, whatever it is; fails when nothing comes. */
  async next(hope = "anything") {
    if (this.#heard.length > 0) return this.#heard.shift();
    // Made here and not in the timer, so that its stack leads to the case that waits.
    const inVain = new Error(`${this.#whose}: waited in vain for ${hope}`);
    let timer;
    const heard = new Promise((resolve, reject) => {
      this.#waiting = resolve;
      timer = setTimeout(reject, PATIENCE_MS, inVain);
    });
    return heard.finally(() => clearTimeout(timer));
  }

  /** Takes out the next thing, which must be this event, and with this data when it is given. */
  async expect(event, ...data) {
    const item = await this.next(event);
    const told = `${this.#whose}: expected ${event}, heard ${item.event} ${JSON.stringify(item.data)}`;
    assert.equal(item.event, event, told);
    if (data.length > 0) assert.deepEqual(item.data, data[0], told);
    return item.data;
  }

  /** Checks that nothing is left that was heard and not taken out. Say it after a fence, never instead of one. */
  expectNothing() {
    assert.deepEqual(this.#heard, [], `${this.#whose}: heard more than it should`);
  }
}
