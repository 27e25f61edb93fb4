# What greenlet and Python offer to C, in place of the Python calls of the same names.
from cpython.pythread cimport PyThread_get_thread_ident
from cpython.ref cimport PyObject, Py_XDECREF


cdef extern from "Python.h":
    PyObject** _PyObject_GetDictPtr(object)
    PyObject* PyDict_GetItemWithError(object, object)


cdef extern from "greenlet/greenlet.h":
    ctypedef class greenlet.greenlet [object PyGreenlet]:
        pass

    void PyGreenlet_Import()
    greenlet PyGreenlet_GetCurrent()
    void* PyGreenlet_GetParent(greenlet)
    object PyGreenlet_Switch(greenlet, void* args, void* kwargs)


cdef inline import_greenlet():
    PyGreenlet_Import()


cdef inline getcurrent():
    return PyGreenlet_GetCurrent()


cdef inline bint is_child(greenlet one, hub):
    parent = <PyObject*> PyGreenlet_GetParent(one)  # NULL if there is none
    Py_XDECREF(parent)
    return parent == <PyObject*> hub


cdef inline switch_to(greenlet other):
    return PyGreenlet_Switch(other, NULL, NULL)


cdef inline task_of(one):
    # Most greenlets have no attributes of their own; to ask for one takes four times as long.
    attributes = _PyObject_GetDictPtr(one)
    if attributes is NULL or attributes[0] is NULL:
        return None
    found = PyDict_GetItemWithError(<object> attributes[0], "gowork_task")
    return None if found is NULL else <object> found


cdef inline unsigned long get_ident():
    return PyThread_get_thread_ident()
