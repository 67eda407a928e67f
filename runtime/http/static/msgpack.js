// Reads MessagePack. 64-bit integers become doubles, `bin` becomes a Uint8Array of its own.

const text = new TextDecoder();

export function decode(buffer) {
  const reader = new Reader(buffer);
  const value = reader.value(0);
  if (reader.at !== reader.view.byteLength) throw new RangeError(`${reader.view.byteLength - reader.at} bytes left over`);
  return value;
}

class Reader {
  constructor(buffer) {
    this.view = new DataView(buffer);
    this.at = 0;
  }

  value(depth) {
    if (depth > 32) throw new RangeError("nested too deeply");
    const code = this.take(1, (at) => this.view.getUint8(at));
    if (code < 0x80) return code;
    if (code < 0x90) return this.map(code & 0x0f, depth);
    if (code < 0xa0) return this.list(code & 0x0f, depth);
    if (code < 0xc0) return this.string(code & 0x1f);
    if (code >= 0xe0) return code - 0x100;
    switch (code) {
      case 0xc0: return null;
      case 0xc2: return false;
      case 0xc3: return true;
      case 0xc4: return this.bytes(this.uint(1));
      case 0xc5: return this.bytes(this.uint(2));
      case 0xc6: return this.bytes(this.uint(4));
      case 0xca: return this.take(4, (at) => this.view.getFloat32(at));
      case 0xcb: return this.take(8, (at) => this.view.getFloat64(at));
      case 0xcc: return this.uint(1);
      case 0xcd: return this.uint(2);
      case 0xce: return this.uint(4);
      case 0xcf: return this.take(8, (at) => Number(this.view.getBigUint64(at)));
      case 0xd0: return this.take(1, (at) => this.view.getInt8(at));
      case 0xd1: return this.take(2, (at) => this.view.getInt16(at));
      case 0xd2: return this.take(4, (at) => this.view.getInt32(at));
      case 0xd3: return this.take(8, (at) => Number(this.view.getBigInt64(at)));
      case 0xd9: return this.string(this.uint(1));
      case 0xda: return this.string(this.uint(2));
      case 0xdb: return this.string(this.uint(4));
      case 0xdc: return this.list(this.uint(2), depth);
      case 0xdd: return this.list(this.uint(4), depth);
      case 0xde: return this.map(this.uint(2), depth);
      case 0xdf: return this.map(this.uint(4), depth);
      default: throw new TypeError(`0x${code.toString(16)} begins no value this page reads`);
    }
  }

  take(size, read) {
    const at = this.at;
    if (at + size > this.view.byteLength) throw new RangeError("message is cut short");
    this.at += size;
    return read(at);
  }

  uint(size) {
    return this.take(size, (at) => size === 1 ? this.view.getUint8(at) : size === 2 ? this.view.getUint16(at) : this.view.getUint32(at));
  }

  bytes(size) {
    return this.take(size, (at) => new Uint8Array(this.view.buffer.slice(at, at + size)));
  }

  string(size) {
    return this.take(size, (at) => text.decode(new Uint8Array(this.view.buffer, at, size)));
  }

  list(size, depth) {
    const items = [];
    for (let n = 0; n < size; n++) items.push(this.value(depth + 1));
    return items;
  }

  map(size, depth) {
    const items = Object.create(null);
    for (let n = 0; n < size; n++) {
      const key = this.value(depth + 1);
      items[key] = this.value(depth + 1);
    }
    return items;
  }
}
