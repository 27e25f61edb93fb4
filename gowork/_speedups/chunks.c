/* A layer on CPython's arena allocator that keeps the chunks of ended greenlets for new ones.

   Since 3.11 a stack of Python frames lives in chunks, mostly in a single one of 16 KiB, which
   the interpreter takes from its arena allocator: for each greenlet a mapping is made, faulted
   in and unmapped. Freed chunks of this size are kept here, up to a limit, and the one that was
   freed last is handed out first. All else passes through.

   What makes this safe is little, and has to stay so:

   - What is handed out came from the allocator below, alone and of this very size. So either
     may free what the other gave; it does not matter when the layer is put in or taken out, nor
     which of the two a thread still sees meanwhile. (Therefore no slabs, which would halve the
     cost of a new chunk: the allocator below cannot free a piece of one.)
   - Chunks come and go without the GIL (PyThreadState_Delete), in other interpreters and while
     the process ends. alloc_chunk and free_chunk use static memory, the mutex and the allocator
     below, and no Python. CPython never unloads an extension.
   - They never wait: who finds the mutex taken goes to the allocator below, as if there were no
     layer. No Python and no allocator is called while it is held.
   - The allocator below is looked up once. Who puts another one on top of this layer will call
     this layer; were it to look again, it might find that one, and they would call each other.
*/

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

#ifdef Py_GIL_DISABLED
#error "install and uninstall rely on the GIL"
#endif

#define CHUNK_SIZE 16384 /* DATA_STACK_CHUNK_SIZE; stackchunks.py finds out whether it still is */

#define AT_ONCE 128 /* idle chunks are given back at most: that takes about half a millisecond */

/* Under AddressSanitizer any use of a chunk that is kept is an error, but for that of its link. */
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define HIDE(chunk) ASAN_POISON_MEMORY_REGION((chunk) + 1, CHUNK_SIZE - sizeof *(chunk))
#define SHOW(chunk) ASAN_UNPOISON_MEMORY_REGION((chunk) + 1, CHUNK_SIZE - sizeof *(chunk))
#else
#define HIDE(chunk) ((void)0)
#define SHOW(chunk) ((void)0)
#endif

#ifdef CLOCK_MONOTONIC_COARSE
#define CLOCK CLOCK_MONOTONIC_COARSE /* a quarter of the cost, and good enough for seconds */
#else
#define CLOCK CLOCK_MONOTONIC
#endif

struct chunk {
    struct chunk *next;
};

static PyObjectArenaAllocator below;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
/* These belong to whoever holds the mutex. Numbers are of chunks. */
static struct chunk *top;
static size_t held;
static size_t limit; /* 0 if nothing is to be kept */
static size_t idle;  /* the fewest that were held in this second */
static time_t second;
static size_t hits;

static atomic_size_t misses;


/* The list; the mutex is held. */

static void
push(struct chunk *chunk)
{
    chunk->next = top;
    top = chunk;
    held++;
    HIDE(chunk);
}

static struct chunk *
pop(void)
{
    struct chunk *chunk = top;
    if (chunk != NULL) {
        SHOW(chunk);
        top = chunk->next;
        held--;
        if (held < idle) {
            idle = held;
        }
    }
    return chunk;
}

/* Take out *number* chunks, linked. They are those that were freed last: to find the others one
   would have to go through the list. */
static struct chunk *
take(size_t number)
{
    struct chunk *taken = NULL;
    while (number-- > 0 && top != NULL) {
        struct chunk *chunk = pop();
        chunk->next = taken;
        taken = chunk;
    }
    return taken;
}

/* Take out a few of those that were not needed for a second, once a second at most: after a burst
   it is half of them in some twenty seconds, and never so many that the greenlet at whose end it
   happens is kept up for long. */
static struct chunk *
take_idle(void)
{
    struct timespec now;
    if (clock_gettime(CLOCK, &now) != 0 || now.tv_sec == second) {
        return NULL;
    }
    size_t number = (idle + 31) / 32;
    struct chunk *taken = take(number < AT_ONCE ? number : AT_ONCE);
    second = now.tv_sec;
    idle = held;
    return taken;
}


/* The layer; the mutex is not held, perhaps nor is the GIL. */

static void
give_back(struct chunk *chunk)
{
    while (chunk != NULL) {
        struct chunk *next = chunk->next;
        below.free(below.ctx, chunk, CHUNK_SIZE);
        chunk = next;
    }
}

static void *
alloc_chunk(void *Py_UNUSED(ctx), size_t size)
{
    if (size == CHUNK_SIZE) {
        struct chunk *chunk = NULL;
        if (pthread_mutex_trylock(&mutex) == 0) {
            chunk = pop();
            hits += chunk != NULL;
            pthread_mutex_unlock(&mutex);
        }
        if (chunk != NULL) {
            return chunk;
        }
        atomic_fetch_add_explicit(&misses, 1, memory_order_relaxed);
    }
    void *memory = below.alloc(below.ctx, size);
    if (memory == NULL && pthread_mutex_trylock(&mutex) == 0) {
        struct chunk *taken = take(held); /* what is kept may be what is missing */
        pthread_mutex_unlock(&mutex);
        give_back(taken);
        memory = below.alloc(below.ctx, size);
    }
    return memory;
}

static void
free_chunk(void *Py_UNUSED(ctx), void *memory, size_t size)
{
    if (size == CHUNK_SIZE && pthread_mutex_trylock(&mutex) == 0) {
        bool kept = held < limit;
        if (kept) {
            push(memory);
        }
        struct chunk *taken = take_idle();
        pthread_mutex_unlock(&mutex);
        give_back(taken);
        if (kept) {
            return;
        }
    }
    below.free(below.ctx, memory, size);
}


/* A fork must not copy the mutex while another thread holds it. */

static void
before_fork(void)
{
    pthread_mutex_lock(&mutex);
}

static void
after_fork(void)
{
    pthread_mutex_unlock(&mutex);
}


/* The module; the GIL is held. */

static bool
is_current(const PyObjectArenaAllocator *allocator)
{
    PyObjectArenaAllocator current;
    PyObject_GetArenaAllocator(&current);
    return current.ctx == allocator->ctx && current.alloc == allocator->alloc
           && current.free == allocator->free;
}

/* Its context is that of the allocator below, though unused: a thread without the GIL that
   looks while they change places may find the context of one and the function of the other. */
static PyObjectArenaAllocator
layer(void)
{
    return (PyObjectArenaAllocator){below.ctx, alloc_chunk, free_chunk};
}

static void
trim_to(size_t keep)
{
    pthread_mutex_lock(&mutex);
    struct chunk *taken = take(held > keep ? held - keep : 0);
    pthread_mutex_unlock(&mutex);
    give_back(taken);
}

static void
set_limit(size_t chunks)
{
    pthread_mutex_lock(&mutex);
    limit = chunks;
    pthread_mutex_unlock(&mutex);
    trim_to(chunks);
}

PyDoc_STRVAR(install_doc,
"install(limit: int)\n--\n\n"
"Keep up to *limit* chunks. If the allocator on top is neither this layer nor the one below\n"
"it, it is left there: perhaps it calls this layer.");

static PyObject *
install(PyObject *Py_UNUSED(module), PyObject *argument)
{
    static bool is_prepared = false;
    size_t chunks = PyLong_AsSize_t(argument);
    if (chunks == (size_t)-1 && PyErr_Occurred()) {
        return NULL;
    }
    if (!is_prepared) {
        if (pthread_atfork(before_fork, after_fork, after_fork) != 0) {
            return PyErr_NoMemory();
        }
        PyObject_GetArenaAllocator(&below);
        is_prepared = true;
    }
    if (is_current(&below)) {
        PyObjectArenaAllocator ours = layer();
        PyObject_SetArenaAllocator(&ours);
    }
    set_limit(chunks);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(uninstall_doc,
"uninstall()\n--\n\n"
"Keep no chunks, and take the layer out, unless another one lies on it.");

static PyObject *
uninstall(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    PyObjectArenaAllocator ours = layer();
    set_limit(0);
    if (is_current(&ours)) {
        PyObject_SetArenaAllocator(&below);
    }
    Py_RETURN_NONE;
}

PyDoc_STRVAR(trim_doc,
"trim(keep: int)\n--\n\n"
"Give back all chunks but *keep*.");

static PyObject *
trim(PyObject *Py_UNUSED(module), PyObject *argument)
{
    size_t keep = PyLong_AsSize_t(argument);
    if (keep == (size_t)-1 && PyErr_Occurred()) {
        return NULL;
    }
    trim_to(keep);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(counts_doc,
"counts()\n--\n\n"
"How many chunks were handed out, came from below, are held, and may be held.");

static PyObject *
counts(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    pthread_mutex_lock(&mutex);
    size_t numbers[] = {hits, atomic_load(&misses), held, limit};
    pthread_mutex_unlock(&mutex);
    return Py_BuildValue("nnnn", (Py_ssize_t)numbers[0], (Py_ssize_t)numbers[1],
                         (Py_ssize_t)numbers[2], (Py_ssize_t)numbers[3]);
}

static PyMethodDef methods[] = {
    {"install", install, METH_O, install_doc},
    {"uninstall", uninstall, METH_NOARGS, uninstall_doc},
    {"trim", trim, METH_O, trim_doc},
    {"counts", counts, METH_NOARGS, counts_doc},
    {NULL, NULL, 0, NULL},
};

/* All interpreters share the arena allocator, and not all of them the GIL. */
static int
refuse_other_interpreters(PyObject *module)
{
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        PyErr_SetString(PyExc_ImportError, "only the main interpreter can switch the cache");
        return -1;
    }
    return PyModule_AddIntMacro(module, CHUNK_SIZE);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, refuse_other_interpreters},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "gowork._speedups.chunks",
    .m_doc = "The layer that keeps chunks; see gowork.stackchunks.",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit_chunks(void)
{
    return PyModuleDef_Init(&definition);
}
