/** Makes what it does not have. */
export class Table<Key, Value> {
  readonly #values = new Map<Key, Value>();
  readonly #make: (key: Key) => Value;

  constructor(make: (key: Key) => Value) {
    this.#make = make;
  }

  at(key: Key): Value {
    let value = this.#values.get(key);
    if (value === undefined) this.#values.set(key, (value = this.#make(key)));
    return value;
  }
}
